// The head: where one is, the search box, whether the page is live, the theme.
import { signal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import { type LiveState, liveState } from '../api/live';
import { go, place, sampleHref } from '../router';
import { Sign } from './bits';
import { helpOpen } from './help';
import { useKeys } from './keys';

const PAGES = [
  { href: '/', word: 'Submissions' },
  { href: '/engines', word: 'Engines' },
  { href: '/workers', word: 'Workers' },
];

export const HASH = /^[0-9a-f]{64}$/i;

/** A hash goes to its report, anything else filters the list. */
export function lookUp(text: string): void {
  const wanted = text.trim();
  if (HASH.test(wanted)) go(sampleHref(wanted.toLowerCase()));
  else go(wanted ? `/?q=${encodeURIComponent(wanted)}` : '/');
}

function Search() {
  const input = useRef<HTMLInputElement>(null);
  useKeys({
    '/': (event) => {
      event.preventDefault();
      input.current?.select();
    },
    Escape: () => input.current?.blur(),
  });
  const q = place.value.query.get('q') ?? '';
  return (
    <form
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        lookUp(input.current?.value ?? '');
        input.current?.blur();
      }}
    >
      <input key={q} ref={input} type="search" defaultValue={q} maxLength={256} spellcheck={false} autocomplete="off"
        placeholder="SHA-256 or name   /" aria-label="Find a sample by SHA-256 or name" />
    </form>
  );
}

const LIVE: Record<LiveState, { word: string; title: string }> = {
  connecting: { word: 'connecting', title: 'waiting for the stream of events' },
  live: { word: 'live', title: 'what happens on the server shows here at once' },
  reconnecting: { word: 'reconnecting', title: 'the stream of events broke; what you see may be old until it is back' },
};

function LiveBadge() {
  const state = liveState.value;
  return (
    <span class={`live live-${state}`} title={LIVE[state].title} role="status">
      {LIVE[state].word}
    </span>
  );
}

type Theme = 'auto' | 'light' | 'dark';
const NEXT: Record<Theme, Theme> = { auto: 'light', light: 'dark', dark: 'auto' };

const theme = signal<Theme>((document.documentElement.dataset['theme'] as Theme | undefined) ?? 'auto');

function setTheme(next: Theme): void {
  theme.value = next;
  if (next === 'auto') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = next;
  try {
    localStorage.setItem('theme', next);
  } catch {
    // Storage is switched off: the choice lasts as long as the tab.
  }
}

export function Head() {
  return (
    <header>
      <a href="/" class="brand">
        <img src="/favicon.svg" alt="" width="20" height="20" />
        <span>Phagescan</span>
      </a>
      <nav aria-label="pages">
        {PAGES.map(({ href, word }) => (
          <a key={href} href={href} aria-current={place.value.path === href ? 'page' : undefined}>
            {word}
          </a>
        ))}
      </nav>
      <Search />
      <LiveBadge />
      <button type="button" class="small" title="Colours: as the system, light, dark" onClick={() => setTheme(NEXT[theme.value])}>
        <Sign name="half" /> {theme.value}
      </button>
      <button type="button" class="small" title="Keys (?)" aria-label="keys" onClick={() => (helpOpen.value = true)}>
        ?
      </button>
    </header>
  );
}
