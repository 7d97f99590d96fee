// A request whose body's progress can be watched: fetch cannot, XMLHttpRequest can.
import { API, ApiError, NO_ANSWER, errorOf, signedOut } from '../api/http';

export interface Sent {
  status: number;
  text: string;
  header: (name: string) => string | null;
}

export interface Send {
  method: 'POST' | 'PATCH' | 'HEAD';
  path: string;
  body?: Blob | string;
  headers?: Record<string, string>;
  /** Bytes of the body that have left. */
  onProgress?: (bytes: number) => void;
  abort: AbortSignal;
}

/** No byte moved for this long: the connection is taken for dead. */
const SILENCE_MS = 60_000;

export class Aborted extends Error {}

/** Resolves for 2xx; else throws an ApiError, or Aborted. */
export function send(request: Send): Promise<Sent> {
  return new Promise((done, fail) => {
    const xhr = new XMLHttpRequest();
    let silence = 0;
    const stir = (): void => {
      clearTimeout(silence);
      silence = window.setTimeout(() => xhr.abort(), SILENCE_MS);
    };
    const stop = (): void => xhr.abort();
    const end = (error: Error | null): void => {
      clearTimeout(silence);
      request.abort.removeEventListener('abort', stop);
      if (error) fail(error);
      else {
        signedOut.value = false;
        done({ status: xhr.status, text: xhr.responseText, header: (name) => xhr.getResponseHeader(name) });
      }
    };
    if (request.abort.aborted) return fail(new Aborted());
    request.abort.addEventListener('abort', stop);
    xhr.open(request.method, API + request.path);
    for (const [name, value] of Object.entries(request.headers ?? {})) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = (event) => {
      stir();
      request.onProgress?.(event.loaded);
    };
    xhr.onprogress = stir;
    xhr.onload = () =>
      end(xhr.status < 300 ? null : errorOf(xhr.status, xhr.responseText, xhr.getResponseHeader('Retry-After')));
    xhr.onerror = () => end(new ApiError(0, NO_ANSWER));
    xhr.onabort = () => end(request.abort.aborted ? new Aborted() : new ApiError(0, NO_ANSWER));
    stir();
    xhr.send(request.body ?? null);
  });
}
