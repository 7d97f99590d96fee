// The files that are dropped. EICAR is put together here, so that no scanner objects to this directory.
import fs from 'node:fs';
import path from 'node:path';
import { SAMPLE_MAX } from './stack.mjs';

const EICAR = ['X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR', '-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*'].join('');

export const HOSTILE = '<img src=x onerror=alert(1)>\u202etxt.exe\n.doc';
export const SCRIPT = '<script>document.title="run"<\u2044script>.html';

/** Writes the files of the stories below dir; gives their paths. */
export function makeFiles(dir) {
  const folder = path.join(dir, 'a folder');
  fs.mkdirSync(path.join(folder, 'inner'), { recursive: true });
  const write = (name, bytes, below = dir) => {
    const file = path.join(below, name);
    fs.writeFileSync(file, bytes);
    return file;
  };
  write('one.txt', 'the first file of a folder\n', folder);
  write('two.txt', 'the second file of a folder\n', path.join(folder, 'inner'));
  write('three.com', EICAR, path.join(folder, 'inner'));
  const many = path.join(dir, 'many');
  fs.mkdirSync(many);
  for (let i = 0; i < 300; i++) write(`file ${i}.txt`, `file number ${i}\n`, many);
  return {
    eicar: write('eicar.com', EICAR),
    clean: write('clean.txt', 'nothing to see in here\n'),
    empty: write('empty.bin', ''),
    hostile: write(HOSTILE, `hostile by name ${EICAR}`.slice(0, 20)),
    script: write(SCRIPT, 'hostile by name, too\n'),
    long: write(`${'long'.repeat(58)}.doc`, 'a long name\n'),
    large: write('large.iso', Buffer.alloc(40 << 20, 'large and clean ')),
    over: write('over.iso', Buffer.alloc(SAMPLE_MAX + 1)),
    late: write('late.txt', 'scanned while an engine is away\n'),
    later: write('later.txt', 'dropped while the reader was elsewhere\n'),
    awaited: write('awaited.txt', 'its report is open before it comes\n'),
    many,
    folder,
  };
}
