// What happens on the server, as it happens. HTTP/1.1 gives a browser six connections to one server, so of all
// tabs one holds the event stream (the one that holds a web lock) and passes events on; when it closes, the lock
// goes to the next tab. A gap of any kind ends in a `lagged` event: whoever shows something reads it again.
import { signal } from '@preact/signals';
import { API, get, signedOut } from './http';
import type { LiveEvent, Status } from './types';

export type LiveState = 'connecting' | 'live' | 'reconnecting';

/** Events are handed over in groups, this often, so that a busy server costs a few renderings a second. */
const GROUP_MS = 60;
/** Events of one group; over it the group becomes one `lagged`. */
const GROUP_MAX = 5000;
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 10_000;

type Message = { kind: 'events'; events: LiveEvent[] } | { kind: 'state'; state: LiveState } | { kind: 'hello' };
type Listener = (events: LiveEvent[]) => void;

export const liveState = signal<LiveState>('connecting');

const listeners = new Set<Listener>();
const LAGGED: LiveEvent = { event: 'lagged' };
const KINDS = ['scan', 'result', 'submission', 'fleet', 'lagged'] as const;

let channel: BroadcastChannel | null = null;
let leading = false;
let retryMs = RETRY_FIRST_MS;
let group: LiveEvent[] = [];
let groupTimer = 0;

export function onEvents(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function deliver(events: LiveEvent[]): void {
  for (const listener of [...listeners]) listener(events);
}

function setState(state: LiveState): void {
  liveState.value = state;
  if (leading) channel?.postMessage({ kind: 'state', state } satisfies Message);
}

function flush(): void {
  groupTimer = 0;
  const events = group;
  group = [];
  channel?.postMessage({ kind: 'events', events } satisfies Message);
  deliver(events);
}

function take(event: LiveEvent): void {
  if (group.length >= GROUP_MAX) group = [LAGGED];
  group.push(event);
  if (!groupTimer) groupTimer = window.setTimeout(flush, GROUP_MS);
}

function takeText(text: string): void {
  try {
    take(JSON.parse(text) as LiveEvent);
  } catch {
    take(LAGGED);
  }
}

/** Holds the stream until it breaks, then tries again, for as long as this tab leads. */
function connect(): void {
  const source = new EventSource(`${API}/events`);
  source.onopen = () => {
    retryMs = RETRY_FIRST_MS;
    setState('live');
    take(LAGGED); // what happened before the stream was open is known to nobody
  };
  for (const kind of KINDS) {
    source.addEventListener(kind, (message) => takeText((message as MessageEvent<string>).data || `{"event":"${kind}"}`));
  }
  source.onerror = () => {
    source.close();
    setState('reconnecting');
    const wait = retryMs * (0.75 + Math.random() / 2);
    retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
    window.setTimeout(reconnect, wait);
  };
}

/** An EventSource does not tell a 401 from a server that is away; a plain request does. */
async function reconnect(): Promise<void> {
  try {
    await get<Status>('/status');
  } catch {
    if (signedOut.value) {
      window.setTimeout(reconnect, RETRY_MAX_MS);
      return;
    }
  }
  connect();
}

function lead(): void {
  leading = true;
  connect();
}

function hear(message: MessageEvent<Message>): void {
  const data = message.data;
  if (data.kind === 'events') deliver(data.events);
  else if (data.kind === 'state') liveState.value = data.state;
  else if (leading) setState(liveState.value);
}

/** Once per tab. */
export function startLive(): void {
  if (typeof BroadcastChannel === 'undefined' || !navigator.locks) {
    lead(); // an address that is no secure context: this tab alone
    return;
  }
  channel = new BroadcastChannel('phagescan-live');
  channel.onmessage = hear;
  channel.postMessage({ kind: 'hello' } satisfies Message);
  void navigator.locks.request('phagescan-live', () => {
    lead();
    return new Promise<never>(() => {}); // kept until the tab closes
  });
}
