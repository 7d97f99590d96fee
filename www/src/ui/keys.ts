// Keys of the page. The newest handler is asked first; keys typed into a field are nobody's but the field's.
import { useEffect } from 'preact/hooks';

type Handler = (event: KeyboardEvent) => void;
export type Keys = Record<string, Handler>;

const stack: { keys: Keys }[] = [];

const inField = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

export function startKeys(): void {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (inField(event.target) && event.key !== 'Escape') return;
    if (document.querySelector('dialog[open]') && event.key !== 'Escape') return;
    for (let i = stack.length - 1; i >= 0; i--) {
      const handler = stack[i]?.keys[event.key];
      if (handler) {
        handler(event);
        return;
      }
    }
  });
}

/** Keys that work while the component is there. */
export function useKeys(keys: Keys): void {
  useEffect(() => {
    const entry = { keys };
    stack.push(entry);
    return () => {
      const i = stack.indexOf(entry);
      if (i >= 0) stack.splice(i, 1);
    };
  });
}
