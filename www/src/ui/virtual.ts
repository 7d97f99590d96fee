// Long lists: only the rows in view are elements. Rows are 28 px; a sticky header of the same height is inside the
// scroller. After @tanstack/virtual-core's adapters for other frameworks.
import { Virtualizer, elementScroll, observeElementOffset, observeElementRect } from '@tanstack/virtual-core';
import type { RefObject } from 'preact';
import { useLayoutEffect, useReducer, useState } from 'preact/hooks';

export const ROW_PX = 28;

export interface Window {
  /** Indices of the rows that are elements. */
  indices: number[];
  /** Room above and below them, px. */
  above: number;
  below: number;
  scrollTo: (index: number) => void;
  /** The last row in view or near it. */
  last: number;
}

interface Options {
  count: number;
  scroller: RefObject<HTMLElement>;
  headerPx?: number;
  startAt?: number;
}

export function useWindow({ count, scroller, headerPx = ROW_PX, startAt = 0 }: Options): Window {
  const [, redraw] = useReducer((n: number) => n + 1, 0);
  const options = {
    count,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    overscan: 16,
    paddingStart: headerPx,
    scrollPaddingStart: headerPx,
    initialOffset: startAt,
    observeElementRect,
    observeElementOffset,
    scrollToFn: elementScroll,
    onChange: () => redraw(undefined as never),
  };
  const [virtualizer] = useState(() => new Virtualizer<HTMLElement, HTMLElement>(options));
  virtualizer.setOptions({ ...virtualizer.options, ...options });
  useLayoutEffect(() => virtualizer._didMount(), [virtualizer]);
  useLayoutEffect(() => virtualizer._willUpdate());

  const items = virtualizer.getVirtualItems();
  const first = items[0];
  const last = items[items.length - 1];
  return {
    indices: items.map((item) => item.index),
    above: first ? first.start - headerPx : 0,
    below: last ? virtualizer.getTotalSize() - last.end : 0,
    scrollTo: (index) => virtualizer.scrollToIndex(index, { align: 'auto' }),
    last: last?.index ?? -1,
  };
}
