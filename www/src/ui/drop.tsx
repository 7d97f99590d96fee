// The whole window takes files and folders; a pasted hash is looked up, pasted files are submitted.
import { useEffect, useState } from 'preact/hooks';
import { signedOut } from '../api/http';
import { uploader } from '../upload/uploader';
import { HASH, lookUp } from './head';

const hasFiles = (event: DragEvent): boolean => !signedOut.value && [...(event.dataTransfer?.types ?? [])].includes('Files');

function paste(event: ClipboardEvent): void {
  if ((event.target as HTMLElement).closest?.('input, textarea')) return;
  const files = [...(event.clipboardData?.files ?? [])];
  const text = event.clipboardData?.getData('text/plain').trim() ?? '';
  if (files.length && !signedOut.value) uploader.addFiles(files);
  else if (HASH.test(text)) lookUp(text);
}

export function DropTarget() {
  const [over, setOver] = useState(false);
  useEffect(() => {
    let depth = 0; // every element under the pointer sends its own enter and leave
    const enter = (event: DragEvent): void => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      depth += 1;
      setOver(true);
    };
    const leave = (event: DragEvent): void => {
      if (!hasFiles(event)) return;
      depth = Math.max(0, depth - 1);
      if (!depth) setOver(false);
    };
    const move = (event: DragEvent): void => {
      if (hasFiles(event)) event.preventDefault();
    };
    const drop = (event: DragEvent): void => {
      depth = 0;
      setOver(false);
      if (!hasFiles(event) || !event.dataTransfer) return;
      event.preventDefault();
      void uploader.addDropped(event.dataTransfer);
    };
    document.addEventListener('dragenter', enter);
    document.addEventListener('dragleave', leave);
    document.addEventListener('dragover', move);
    document.addEventListener('drop', drop);
    document.addEventListener('paste', paste);
    return () => {
      document.removeEventListener('dragenter', enter);
      document.removeEventListener('dragleave', leave);
      document.removeEventListener('dragover', move);
      document.removeEventListener('drop', drop);
      document.removeEventListener('paste', paste);
    };
  }, []);
  return over ? (
    <div class="drop-overlay" aria-hidden="true">
      <p>Drop to scan: files or folders</p>
    </div>
  ) : null;
}
