import { Empty, Foreign } from '../ui/bits';

export function NotFoundPage({ path }: { path: string }) {
  return (
    <Empty title="There is no such page">
      <p>
        <Foreign text={path} max={120} mono /> leads nowhere. A report's address is <code>/samples/</code> and all 64 digits of
        a SHA-256. <a href="/">To the submissions</a>
      </p>
    </Empty>
  );
}
