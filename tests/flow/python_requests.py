"""tests/flow/python_requests.py: garbage on the socket of requests: the runner ends with a sentence, and answers nothing."""
import importlib.util
import pathlib
import random
import struct
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.dont_write_bytecode = True
SPEC = importlib.util.spec_from_file_location('runner', ROOT / 'engines/python/phagescan_runner.py')
runner = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(runner)


def pipe_of(data, step):
    left = [data]

    def recv(n):
        part, left[0] = left[0][:min(n, step)], left[0][min(n, step):]
        return part
    return runner.Pipe(recv, -1)


def frame(text, raw=0):
    return struct.pack('>II', len(text), raw) + text


class Requests(unittest.TestCase):
    def test_refused(self):
        for data in (b'x', frame(b''), frame(b'{}', 1), frame(b'[]'), frame(b'nul'), frame(b'\xff\xfe'), b'\xff' * 8,
                     frame(b'{"a":1}')[:-1], frame(b'[' * 60000), struct.pack('>II', 65537, 0)):
            with self.subTest(data=data[:20]), self.assertRaises(runner.Garbage):
                pipe_of(data, 3).request()

    def test_taken(self):
        pipe = pipe_of(frame(b'{"job":1}') * 2, 1)
        self.assertEqual([pipe.request(), pipe.request(), pipe.request()], [{'job': 1}, {'job': 1}, None])

    def test_fields(self):
        for value in (None, '1', True, 1.5, [], {}):
            with self.subTest(value=value), self.assertRaises(runner.Garbage):
                runner.wanted({'job': value}, 'job', int)

    def test_mutants(self):
        chance = random.Random(1)
        good = frame(b'{"job":1,"size":2,"sha256":"","type":"","tmpdir":"/tmp"}')
        for _ in range(2000):
            data = bytearray(good)
            for _ in range(chance.randrange(1, 4)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            try:
                request = pipe_of(bytes(data), chance.randrange(1, 9)).request()
            except runner.Garbage:
                continue
            self.assertIsInstance(request, dict)


if __name__ == '__main__':
    unittest.main(verbosity=2)
