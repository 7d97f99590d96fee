// Counters change without an event: read every two seconds while somebody looks, and at once when the fleet changes.
import { useEffect, useMemo } from 'preact/hooks';
import { LiveData } from '../model/live-data';

const EVERY_MS = 2_000;

export function usePolled<T>(path: string): LiveData<T> {
  const data = useMemo(() => new LiveData<T>(path, (event) => event.event === 'fleet'), [path]);
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) void data.read();
    }, EVERY_MS);
    return () => {
      clearInterval(timer);
      data.close();
    };
  }, [data]);
  return data;
}
