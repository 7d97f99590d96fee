import { Empty } from '../ui/bits';

export function SignedOutPage() {
  return (
    <Empty title="This browser is not signed in">
      <p>
        On the machine where Phagescan runs, say <code>phagescan open</code>, and open the address that it prints. It works
        once, and signs this browser in.
      </p>
      <p class="dim">
        From another machine: <code>ssh -L {location.port || '8480'}:127.0.0.1:{location.port || '8480'} HOST</code> first, then
        the same address. Uploads that were under way here wait, and go on by themselves.
      </p>
    </Empty>
  );
}
