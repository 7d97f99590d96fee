// The frame of every page: head, banners, the page that the address names, the upload dock, the drop target.
import { useEffect } from 'preact/hooks';
import { signedOut } from './api/http';
import { Banners } from './ui/banners';
import { DropTarget } from './ui/drop';
import { Head } from './ui/head';
import { Help } from './ui/help';
import { EnginesPage } from './pages/engines';
import { NotFoundPage } from './pages/notfound';
import { ReportPage } from './pages/report';
import { SignedOutPage } from './pages/signedout';
import { SubmissionsPage } from './pages/submissions';
import { WorkersPage } from './pages/workers';
import { place } from './router';
import { visible } from './ui/visible';
import { UploadDock } from './ui/dock';

interface Route {
  pattern: RegExp;
  title: (match: RegExpExecArray) => string;
  page: (match: RegExpExecArray) => preact.JSX.Element;
}

const ROUTES: Route[] = [
  { pattern: /^\/$/, title: () => 'Submissions', page: () => <SubmissionsPage /> },
  {
    pattern: /^\/samples\/([0-9a-fA-F]{64})$/,
    title: (match) => (match[1] as string).slice(0, 12),
    page: (match) => <ReportPage key={match[1]} sha256={(match[1] as string).toLowerCase()} />,
  },
  { pattern: /^\/engines$/, title: () => 'Engines', page: () => <EnginesPage /> },
  { pattern: /^\/workers$/, title: () => 'Workers', page: () => <WorkersPage /> },
];

function found(path: string): { title: string; page: preact.JSX.Element } {
  for (const route of ROUTES) {
    const match = route.pattern.exec(path);
    if (match) return { title: route.title(match), page: route.page(match) };
  }
  return { title: 'Not found', page: <NotFoundPage path={path} /> };
}

export function App() {
  const { title, page } = found(place.value.path);
  useEffect(() => {
    document.title = `${visible(title)} \u00b7 Phagescan`;
  }, [title]);
  return (
    <>
      <Head />
      {signedOut.value ? null : <Banners />}
      <main>{signedOut.value ? <SignedOutPage /> : page}</main>
      {signedOut.value ? null : <UploadDock />}
      <DropTarget />
      <Help />
    </>
  );
}
