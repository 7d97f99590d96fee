// Files out of what was dropped or chosen: folders are walked, and what cannot be read is reported, not skipped
// in silence.

export interface Found {
  /** null: it could not be opened, and why. */
  file: File | null;
  name: string;
  /** As seen from what was dropped: `folder/sub/name`; null for a file dropped by itself. */
  path: string | null;
  why: string;
}

export type Take = (found: Found) => void;

/** Entries must be asked for while the drop event lasts; walking them may take as long as it takes. */
export function entriesOf(transfer: DataTransfer): { entries: FileSystemEntry[]; files: File[] } {
  const entries: FileSystemEntry[] = [];
  const files: File[] = [];
  for (const item of transfer.items) {
    if (item.kind !== 'file') continue;
    const entry = item.webkitGetAsEntry?.();
    const file = entry ? null : item.getAsFile();
    if (entry) entries.push(entry);
    else if (file) files.push(file);
  }
  return { entries, files };
}

const reasonOf = (error: unknown): string =>
  error instanceof DOMException && error.name === 'NotFoundError'
    ? 'it vanished before it could be read'
    : 'the browser could not read it; are you allowed to?';

const fileOf = (entry: FileSystemFileEntry): Promise<File> => new Promise((done, fail) => entry.file(done, fail));

async function listOf(entry: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = entry.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    // Browsers give a hundred at a time, and an empty list at the end.
    const some = await new Promise<FileSystemEntry[]>((done, fail) => reader.readEntries(done, fail));
    if (!some.length) return all;
    all.push(...some);
  }
}

/** Walks entries in order, depth first. Stops when wanted() says no. */
export async function walk(entries: FileSystemEntry[], take: Take, wanted: () => boolean): Promise<void> {
  const open = [...entries].reverse();
  for (let entry = open.pop(); entry && wanted(); entry = open.pop()) {
    const path = entry.fullPath.replace(/^\//, '');
    try {
      if (entry.isDirectory) {
        const inside = await listOf(entry as FileSystemDirectoryEntry);
        open.push(...inside.reverse());
      } else {
        const file = await fileOf(entry as FileSystemFileEntry);
        take({ file, name: entry.name, path: path.includes('/') ? path : null, why: '' });
      }
    } catch (error) {
      take({ file: null, name: entry.name, path, why: reasonOf(error) });
    }
  }
}

/** Files of a file or folder picker. */
export function foundOf(file: File): Found {
  return { file, name: file.name, path: file.webkitRelativePath || null, why: '' };
}
