// Addresses. The page is one document; links are real links (a middle click opens a tab), and a plain click on one
// of ours changes the address without loading anything.
import { signal } from '@preact/signals';

export interface Place {
  path: string;
  query: URLSearchParams;
}

const here = (): Place => ({ path: location.pathname, query: new URLSearchParams(location.search) });

export const place = signal<Place>(here());

export function go(href: string, replace = false): void {
  if (replace) history.replaceState(null, '', href);
  else history.pushState(null, '', href);
  place.value = here();
}

/** The present address with some of its query changed; an empty value takes a key out. */
export function withQuery(changes: Record<string, string | null>): string {
  const query = new URLSearchParams(place.value.query);
  for (const [key, value] of Object.entries(changes)) {
    if (value) query.set(key, value);
    else query.delete(key);
  }
  const text = query.toString();
  return place.value.path + (text ? `?${text}` : '');
}

function ours(event: MouseEvent): HTMLAnchorElement | null {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
    return null;
  const link = (event.target as Element).closest?.('a');
  if (!link || link.origin !== location.origin || link.target || link.hasAttribute('download')) return null;
  return link.pathname.startsWith('/api/') ? null : link;
}

export function startRouter(): void {
  addEventListener('popstate', () => (place.value = here()));
  document.addEventListener('click', (event) => {
    const link = ours(event);
    if (!link) return;
    event.preventDefault();
    go(link.pathname + link.search + link.hash);
  });
}

export const sampleHref = (sha256: string, scan?: number): string =>
  `/samples/${encodeURIComponent(sha256)}${scan === undefined ? '' : `?scan=${scan}`}`;
