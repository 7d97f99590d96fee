"""tests/flow/host_python.py: engines written in Python, in the real jail, by phagescan-enginehost --try.

For each misdeed of a Python that was taken over: contained, explained, and the next job of the same host is unharmed.
"""
import hashlib
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ['PHAGESCAN_TEST_BUILD'])
DATA = pathlib.Path(__file__).resolve().parent.parent / 'data' / 'python'
EICAR = b'X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-' + b'STANDARD-ANTIVIRUS-TEST-FILE!$H+H*'
GRACE_S = 120

# misdeed: (outcomes that contain it, what the reason must say; '' for anything)
PATIENT_MS = 30000  # for deeds that end by themselves, however busy the machine is
MISDEEDS = {
    'hang': (('timeout',), ''),
    'spin': (('timeout',), ''),
    'exit': (('failure',), 'ended with status 7'),
    'sysexit': (('failure',), 'SystemExit: 3'),
    'segv': (('failure',), 'signal 11'),
    'abort': (('failure',), 'signal 6'),
    'kill': (('failure',), 'signal 9'),
    'raise': (('failure',), "KeyError: 'nothing here'"),
    'recurse': (('failure',), 'RecursionError'),
    'eat': (('failure',), 'out of memory'),
    'fork': (('undetected',), ''),
    'bomb': (('undetected', 'failure'), ''),
    'flood': (('timeout',), ''),
    'answers': (('failure',), 'answers'),
    'garbage': (('failure',), 'makes no sense'),
    'huge': (('failure',), 'long'),
    'other-job': (('failure',), 'another job'),
    'contradict': (('failure',), 'contradicts'),
    'described': (('failure',), 'its kind'),
    'close': (('timeout',), ''),
    'half': (('failure',), 'ended with status 0'),
    'shadow': (('failure',), 'shadow'),
    'net': (('failure',), 'Error'),
    'exec': (('failure',), 'Error'),
    'write': (('failure',), 'OSError'),
    'fill': (('failure',), 'Error'),
    'daemon': (('failure',), 'ScannerConnectionError: nobody answers'),
    'nameless': (('failure',), 'ScannerMustSpecifyInfectionName'),
    'none': (('failure',), 'infected must be True or False, not None'),
    'one': (('failure',), 'infected must be True or False, not 1'),
    'bare': (('failure',), 'ScannerMustSpecifyInfectionName'),
    'nothing': (('failure',), '_parse_scan_result must return'),
    'wide': (('incomplete',), 'wide'),
}


class Tried(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix='phagescan-python-')
        self.addCleanup(self.dir.cleanup)

    def sample(self, name, content):
        path = os.path.join(self.dir.name, name)
        with open(path, 'wb') as file:
            file.write(content)
        return path

    def run_host(self, engine, samples, *options, file=None):
        return subprocess.run(
            [BUILD / 'worker/host/phagescan-enginehost', '--try', '--engine=' + engine,
             '--plugin=%s' % (BUILD / 'engines/python/adapter.so'), '--file=%s' % (file or DATA / (engine + '.py')),
             *options, *samples], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=GRACE_S, check=False)

    def results(self, engine, samples, *options, file=None):
        done = self.run_host(engine, samples, *options, file=file)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(len(lines), len(samples), done.stderr)
        return lines

    def refused(self, text):
        file = self.sample('wrong.py', text.encode())
        os.chmod(self.dir.name, 0o755)
        done = self.run_host('wrong', [self.sample('any', b'x')], file=file)
        self.assertEqual(done.returncode, 2)
        return done.stderr.decode()


class Shapes(Tried):
    """The original's adapters, as they were written."""

    def test_evilness(self):
        clean, evil, other, broken = self.results('tally', [
            self.sample('clean', b'hello'), self.sample('evil', EICAR), self.sample('other', b'not mine'),
            self.sample('broken', b'broken')])
        self.assertEqual(clean['outcome'], 'undetected')
        self.assertEqual(clean['definitions'], '1')
        self.assertEqual((evil['outcome'], evil['label']), ('malicious', 'EICAR test file'))
        self.assertEqual(len(evil['traits']['checksum']), 64)
        self.assertEqual(other['outcome'], 'type-unsupported')
        self.assertEqual(broken['outcome'], 'incomplete')
        self.assertIn('it ends in the middle', broken['reason'])

    def test_metadata(self):
        (result,) = self.results('outline', [self.sample('text', b'hello world')])
        self.assertEqual(result['outcome'], 'described', result)
        words, picture = result['files']
        self.assertEqual((words['name'], words['picture'], words['size']), ('words.txt', False, 11))
        self.assertEqual(words['sha256'], hashlib.sha256(b'hello\nworld').hexdigest())
        self.assertEqual((picture['name'], picture['picture'], picture['mime']), ('grey.png', True, 'image/png'))
        self.assertEqual(result['traits']['nested'], [{'deep': [1, 2.5, None, True]}])
        self.assertEqual(result['traits']['seen'], '2013-05-06T07:08:09')
        self.assertIs(result['traits']['cwd'], True)

    def test_one_python_for_many(self):
        lines = self.results('naughty', [self.sample('a', b'fine')] * 3)
        self.assertEqual([line['traits']['scans'] for line in lines], [1, 2, 3])


class Misdeeds(Tried):
    def check(self, deed):
        outcomes, reason = MISDEEDS[deed]
        bad, good = self.results('naughty', [self.sample('bad', deed.encode()), self.sample('good', b'fine')],
                                 '--run=%dms' % (3000 if outcomes == ('timeout',) else PATIENT_MS))
        self.assertIn(bad['outcome'], outcomes, bad)
        self.assertIn(reason, bad.get('reason', ''), bad)
        self.assertEqual(good['outcome'], 'undetected', good)
        # Python, and process 1: nobody was left behind.
        self.assertLessEqual(good['traits']['processes'], 2, good)

    def test_each(self):
        only = os.environ.get('PHAGESCAN_TEST_DEED')
        for deed in [only] if only else MISDEEDS:
            with self.subTest(deed=deed):
                self.check(deed)


class Refusals(Tried):
    def test_not_installed(self):
        said = self.refused('from phagescan_engine import *\nclass wrong_engine(EvilnessEngine):\n'
                            '    engine_path = "/nowhere/scanner"\n    version = "1"\n')
        self.assertIn('not installed: /nowhere/scanner', said)

    def test_not_licensed(self):
        said = self.refused('from phagescan_engine import *\nclass wrong_engine(EvilnessEngine):\n'
                            '    version = "1"\n    def is_engine_licensed(self): return False\n')
        self.assertIn('not licensed', said)

    def test_no_engine(self):
        self.assertIn('ImportError', self.refused('x = 1\n'))

    def test_no_python(self):
        self.assertIn('SyntaxError', self.refused('print "python 2"\n'))

    def test_no_version(self):
        said = self.refused('from phagescan_engine import *\nclass wrong_engine(EvilnessEngine):\n    pass\n')
        self.assertIn('version is not written', said)

    def test_exits_at_once(self):
        self.assertIn('status 9', self.refused('import os\nos._exit(9)\n'))


if __name__ == '__main__':
    unittest.main(verbosity=2)
