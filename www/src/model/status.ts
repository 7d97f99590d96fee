// How the server is, read now and then and whenever the fleet changes; feeds the banners and the upload's limits.
import { signal } from '@preact/signals';
import { type ApiError, get } from '../api/http';
import { onEvents } from '../api/live';
import type { Limits, Status } from '../api/types';

const EVERY_MS = 15_000;

export const status = signal<Status | null>(null);
export const statusError = signal<ApiError | null>(null);

/** What a server that does not say would mean. */
export const LIMITS: Limits = {
  max_sample_bytes: 512 * 1024 * 1024,
  batch_bytes: 16 * 1024 * 1024,
  batch_files: 4096,
  chunk_bytes: 8 * 1024 * 1024,
  oneshot_bytes: 64 * 1024 * 1024,
};

export const limits = (): Limits => ({ ...LIMITS, ...status.value?.limits });

let reading = false;

export async function readStatus(): Promise<void> {
  if (reading) return;
  reading = true;
  try {
    status.value = await get<Status>('/status');
    statusError.value = null;
  } catch (error) {
    statusError.value = error as ApiError;
  }
  reading = false;
}

export function startStatus(): void {
  void readStatus();
  setInterval(() => {
    if (!document.hidden) void readStatus();
  }, EVERY_MS);
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) void readStatus();
  });
  onEvents((events) => {
    if (events.some((event) => event.event === 'fleet' || event.event === 'lagged')) void readStatus();
  });
}
