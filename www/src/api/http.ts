// One way to ask the server. A failure is an ApiError whose text is a sentence for people; a 401 switches the page
// to "this browser is not signed in" wherever it happened.
import { signal } from '@preact/signals';
import type { Problem } from './types';

export const signedOut = signal(false);

export class ApiError extends Error {
  /** HTTP status; 0: no answer came. */
  readonly status: number;
  readonly problem: Problem | null;
  /** Seconds that the server asks to wait; null: it did not say. */
  readonly retryAfter: number | null;

  constructor(status: number, detail: string, problem: Problem | null = null, retryAfter: number | null = null) {
    super(detail);
    this.status = status;
    this.problem = problem;
    this.retryAfter = retryAfter;
  }

  /** True when the same request may well succeed a little later, without anybody doing anything. */
  get passing(): boolean {
    return this.status === 0 || this.status === 429 || this.status === 502 || this.status === 503 || this.status === 504;
  }
}

export const API = '/api/v1';

/** Reads problem+json leniently: a proxy in between may answer in its own words. */
export function problemOf(status: number, text: string): Problem {
  try {
    const json: unknown = JSON.parse(text);
    if (json && typeof json === 'object' && 'detail' in json) return { ...(json as Problem), status };
  } catch {
    // Not JSON.
  }
  return { status, code: '', detail: `the server answered ${status}` };
}

export function retryAfterOf(header: string | null): number | null {
  if (!header) return null;
  const seconds = Number(header);
  if (Number.isFinite(seconds) && seconds >= 0) return Math.min(seconds, 300);
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : Math.min(Math.max(0, (date - Date.now()) / 1000), 300);
}

export function errorOf(status: number, text: string, retryAfter: string | null): ApiError {
  if (status === 401) signedOut.value = true;
  const problem = problemOf(status, text);
  return new ApiError(status, problem.detail || problem.title || `the server answered ${status}`, problem,
    retryAfterOf(retryAfter));
}

export const NO_ANSWER = 'the server does not answer';

async function ask(method: string, path: string, body: unknown, abort?: AbortSignal): Promise<Response> {
  const init: RequestInit = { method, credentials: 'same-origin', cache: 'no-store' };
  if (abort) init.signal = abort;
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { 'Content-Type': 'application/json' };
  }
  let response: Response;
  try {
    response = await fetch(API + path, init);
  } catch (error) {
    if (abort?.aborted) throw error;
    throw new ApiError(0, NO_ANSWER);
  }
  if (!response.ok) {
    const text = await response.text().catch(() => '');
    throw errorOf(response.status, text, response.headers.get('Retry-After'));
  }
  signedOut.value = false;
  return response;
}

async function json<T>(response: Response): Promise<T> {
  try {
    return (await response.json()) as T;
  } catch {
    throw new ApiError(0, "the server's answer broke off");
  }
}

export async function get<T>(path: string, abort?: AbortSignal): Promise<T> {
  return json<T>(await ask('GET', path, undefined, abort));
}

export async function post<T>(path: string, body: unknown, abort?: AbortSignal): Promise<T> {
  return json<T>(await ask('POST', path, body, abort));
}

export async function del(path: string): Promise<void> {
  await ask('DELETE', path, undefined);
}

/** The sentence of any error. */
export function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
