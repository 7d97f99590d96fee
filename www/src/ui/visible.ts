// Text from strangers, made safe to look at. Escaping is Preact's; what is left are characters that nobody sees or
// that rearrange what is seen: they become signs.

/** Code points that the eye misses or that reorder their neighbours: controls, formats, separators, surrogates,
 *  private and unassigned ones. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}\u115f\u1160\u3164\uffa0\u034f\u2800]/u;
const SPLIT = new RegExp(`(${UNSEEN.source})`, 'gu');

const NAMES: Record<number, string> = {
  0x7f: 'DEL',
  0x85: 'NEL',
  0xad: 'SHY',
  0x61c: 'ALM',
  0x200b: 'ZWSP',
  0x200c: 'ZWNJ',
  0x200d: 'ZWJ',
  0x200e: 'LRM',
  0x200f: 'RLM',
  0x2028: 'LSEP',
  0x2029: 'PSEP',
  0x202a: 'LRE',
  0x202b: 'RLE',
  0x202c: 'PDF',
  0x202d: 'LRO',
  0x202e: 'RLO',
  0x2060: 'WJ',
  0x2066: 'LRI',
  0x2067: 'RLI',
  0x2068: 'FSI',
  0x2069: 'PDI',
  0xfeff: 'BOM',
};

const C0 = ['NUL', 'SOH', 'STX', 'ETX', 'EOT', 'ENQ', 'ACK', 'BEL', 'BS', 'TAB', 'LF', 'VT', 'FF', 'CR', 'SO', 'SI',
  'DLE', 'DC1', 'DC2', 'DC3', 'DC4', 'NAK', 'SYN', 'ETB', 'CAN', 'EM', 'SUB', 'ESC', 'FS', 'GS', 'RS', 'US'];

/** A short name for an unseen character. */
export function signOf(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  return C0[code] ?? NAMES[code] ?? `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
}

export interface Piece {
  text: string;
  /** True: text is the name of a character that cannot be shown itself. */
  sign: boolean;
}

/** Cuts text into what can be shown and what needs a sign. */
export function piecesOf(text: string): Piece[] {
  if (!UNSEEN.test(text)) return text ? [{ text, sign: false }] : [];
  return text
    .split(SPLIT)
    .filter((part) => part !== '')
    .map((part) => (UNSEEN.test(part) ? { text: signOf(part), sign: true } : { text: part, sign: false }));
}

/** The same as plain text, for titles and labels that hold no elements. */
export function visible(text: string): string {
  return piecesOf(text).map((piece) => (piece.sign ? `\u27e8${piece.text}\u27e9` : piece.text)).join('');
}

/** Cuts the middle out of a long text; whole code points only. */
export function cutMiddle(text: string, max: number): string {
  if (text.length <= max) return text;
  const points = [...text];
  if (points.length <= max) return text;
  const tail = Math.min(Math.floor(max / 3), 40);
  return `${points.slice(0, max - tail - 1).join('')}\u2026${points.slice(points.length - tail).join('')}`;
}

/** Head and tail of a name, so that a narrow column can shorten the head and keep the end (the extension). */
export function headAndTail(text: string, tailMax: number): [string, string] {
  const points = [...text];
  if (points.length <= tailMax * 2) return [text, ''];
  return [points.slice(0, points.length - tailMax).join(''), points.slice(points.length - tailMax).join('')];
}

/** JSON cannot carry half a surrogate pair, and a file's name on some systems can. */
export function wellFormed(text: string): string {
  return text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, '\ufffd');
}
