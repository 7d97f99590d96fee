"""Does what its sample says: what a Python that was taken over, or is broken, can do to its host."""
import ctypes
import os
import signal
import socket
import struct
import subprocess
import sys
import time

from phagescan_engine import EvilnessEngine, ScannerConnectionError, ScannerMustSpecifyInfectionName

scans = 0


def alive():
    """Processes that live; one that was killed and not yet waited for doesn't."""
    n = 0
    for name in os.listdir('/proc') if os.path.isdir('/proc') else ():
        if name.isdigit():
            try:
                with open('/proc/%s/stat' % name) as file:
                    n += file.read().rpartition(')')[2].split()[0] not in 'ZX'
            except OSError:
                pass  # it ended meanwhile
    return n


def job_of_now():
    """The runner's own number of this scan: nothing in the same process is out of an attacker's reach."""
    frame = sys._getframe()
    while frame and 'pipe' not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals['pipe'].job


def raw(data):
    os.write(5, data)


def spin():
    while True:
        pass


def fork_and_leave():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.pause()
        os._exit(0)


def bomb():
    for _ in range(100000):
        try:
            if os.fork() == 0:
                signal.pause()
        except OSError:
            return


def flood():
    while True:
        os.write(1, b'x' * 65536)


def flood_answers(job):
    head = b'{"is":"trait","job":%d,"key":"k"}' % job
    while True:
        raw(struct.pack('>II', len(head), 2) + head + b'{}')


def answer(job, text, body=b''):
    raw(struct.pack('>II', len(text), len(body)) + text + body)


def deeds(job):
    return {
        'hang': lambda: [time.sleep(3600) for _ in iter(int, 1)],
        'spin': spin,
        'exit': lambda: os._exit(7),
        'sysexit': lambda: sys.exit(3),
        'segv': lambda: ctypes.string_at(0),
        'abort': os.abort,
        'kill': lambda: os.kill(os.getpid(), signal.SIGKILL),
        'raise': lambda: {}['nothing here'],
        'recurse': lambda: deeds_again(),
        'eat': lambda: [bytearray(1 << 28) for _ in range(4096)],
        'fork': fork_and_leave,
        'bomb': bomb,
        'flood': flood,
        'answers': lambda: flood_answers(job),
        'garbage': lambda: raw(b'\0\0\0\4\0\0\0\0junk'),
        'huge': lambda: raw(b'\xff\xff\xff\xff\xff\xff\xff\xff'),
        'other-job': lambda: answer(job, b'{"is":"done","job":%d,"outcome":"undetected","reason":"","last":false}'
                                    % (job + 1)),
        'contradict': lambda: answer(job, b'{"is":"done","job":%d,"outcome":"malicious","reason":"","last":false}'
                                     % job),
        'described': lambda: answer(job, b'{"is":"done","job":%d,"outcome":"described","reason":"","last":false}'
                                    % job),
        'close': lambda: (os.close(5), time.sleep(3600)),
        'half': lambda: (raw(b'\0\0\0\50\0\0\0\0{"is":'), os._exit(0)),
        'shadow': lambda: open('/etc/shadow').read(),
        'net': lambda: socket.create_connection(('127.0.0.1', 9)),
        'exec': lambda: subprocess.run(['/usr/bin/id'], check=True),
        'write': lambda: open('/usr/lib/x', 'w'),
        'fill': lambda: [open('f%d' % i, 'wb').write(b'x' * (1 << 26)) for i in range(1 << 20)],
        'daemon': lambda: (_ for _ in ()).throw(ScannerConnectionError('nobody answers')),
        'nameless': lambda: (_ for _ in ()).throw(ScannerMustSpecifyInfectionName('of what?')),
    }


def deeds_again():
    return deeds_again()


class naughty_engine(EvilnessEngine):
    run_ms = 3000

    @property
    def version(self):
        return '1'

    def update_definitions(self, file=None):
        if file is None:
            raise ValueError('it wants a file')
        with open(os.path.join(self.definitions_dir, 'copy'), 'wb') as out:
            out.write(file.all_content)

    def _scan(self, file):
        global scans
        scans += 1
        self.word = file.read().decode('latin-1').strip()
        what, _, rest = self.word.partition(' ')
        deed = deeds(job_of_now()).get(what)
        if deed:
            deed()
        return what, rest

    def _parse_scan_result(self, raw):
        what, rest = raw
        if what == 'none':
            return None, '', {}
        if what == 'one':
            return 1, 'One', {}
        if what == 'bare':
            return True, '', {}
        if what == 'nothing':
            return None
        if what == 'dict':
            return {'infected': True, 'infected_string': rest}
        if what == 'wide':
            return False, '', {'wide': 'x' * 70000}
        return what == 'evil', rest, {'scans': scans, 'processes': alive()}
