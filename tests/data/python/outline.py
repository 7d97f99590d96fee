"""A metadata engine of the original's shape, in process: facts, a file and a picture of what it looked at."""
import datetime
import os
import struct
import zlib

from engines.generic.abstract import AbstractMDEngine, ENGINE_VERSION_KEY


def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


class outline_engine(AbstractMDEngine):
    supported_file_types = ['text/.*', r'application/pdf$']

    @property
    def name(self):
        return 'Outline'

    @property
    def version(self):
        return {ENGINE_VERSION_KEY: '3'}

    def _scan(self, file):
        return file.all_content

    def _parse_scan_result(self, raw):
        files = [self.add_output_file_from_string('\n'.join(raw.decode('latin-1').split()), 'words.txt')]
        path = os.path.join(self.tmpdir, 'grey.png')
        with open(path, 'wb') as picture:
            picture.write(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', 1, 1, 8, 0, 0, 0, 0)) +
                          chunk(b'IDAT', zlib.compress(b'\0' + raw[:1].ljust(1, b'\0'))) + chunk(b'IEND', b''))
        self.add_output_image(path)
        return files, [], {'length': len(raw), 'first': raw[:4], 'seen': datetime.datetime(2013, 5, 6, 7, 8, 9),
                           'nested': [{'deep': (1, 2.5, None, True)}], 'cwd': os.getcwd() == self.tmpdir}
