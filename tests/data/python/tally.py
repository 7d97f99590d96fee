"""An evilness engine of the original's shape: a program looks at a file, its output is parsed. The program is sha256sum,
and what it finds is by checksum."""
import os
import re
import subprocess
import tempfile

from engines.generic.abstract import (AbstractEvilnessEngine, DEFINITION_VERSION_KEY, ENGINE_VERSION_KEY, L32)
from engines.generic.exception import ScannerCantParseFile, UnsupportedFileTypeForScanner

KNOWN = {
    '275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f': 'EICAR test file',
}


class tally_engine(AbstractEvilnessEngine):
    _name = 'Tally'

    @property
    def name(self):
        return self._name

    @property
    def platform(self):
        return L32

    @property
    def engine_path(self):
        return '/usr/bin/sha256sum'

    @property
    def version(self):
        output = subprocess.Popen([self.engine_path, '--version'], stdout=subprocess.PIPE).communicate()[0]
        return {ENGINE_VERSION_KEY: output.decode().split('\n')[0].split(' ')[-1], DEFINITION_VERSION_KEY: '1'}

    def _scan(self, file):
        content = file.all_content
        if content.startswith(b'not mine'):
            raise UnsupportedFileTypeForScanner('not mine')
        if content.startswith(b'broken'):
            raise ScannerCantParseFile('it ends in the middle')
        (handle, path) = tempfile.mkstemp()
        self.mark_path_for_removal(path)
        os.write(handle, content)
        os.close(handle)
        return subprocess.Popen([self.engine_path, path], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE).communicate()[0].decode()

    def _parse_scan_result(self, raw):
        digest = re.match('[0-9a-f]{64}', raw).group(0)
        return digest in KNOWN, KNOWN.get(digest, ''), {'checksum': digest, 'length': len(raw)}
