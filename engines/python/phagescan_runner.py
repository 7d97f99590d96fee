"""phagescan_runner: runs one engine written in Python for engines/python/adapter.so, over descriptors.

    python3 -I -B phagescan_runner.py card|check|serve|update FILE.py

A frame, both ways, is two big-endian lengths of 32 bits, then a JSON object of the first length and raw bytes of the
second (README.md lists the objects). Requests come from descriptor 4, a socket; answers go to 5; the sample, or the file with
new definitions, comes along with its request and is descriptor 3. Standard output and error are for people: their last lines explain a death.

This process is as hostile as the samples that it parses: the adapter believes nothing of what it says.
"""
import array
import datetime
import errno
import importlib.util
import json
import math
import os
import re
import resource
import signal
import socket
import struct
import sys
import tempfile
import time
import traceback
import types

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import phagescan_engine as api  # noqa: E402

SAMPLE_FD, REQUEST_FD, REPLY_FD = 3, 4, 5
REQUEST_MAX = 64 * 1024  # bytes of a request's JSON
HEAD_MAX = 128 * 1024  # bytes of an answer's JSON
TRAIT_MAX = 64 * 1024  # bytes of one trait's JSON
OUTPUT_MAX = 16 << 20  # bytes of one artifact
TEXT_MAX = 900  # bytes of a sentence
LABEL_MAX = 512  # bytes of an infection's name
TRACE_LINES = 4  # of a traceback: where it happened
GROWTH_MAX = 256 << 10  # KiB of memory that this process may gain before another takes its place
SWEEP_S = 2  # until processes that were killed are given up on
DEPTH_MAX = 64  # of metadata
LENGTHS = struct.Struct('>II')


class Garbage(Exception):
    """A request that isn't one: whoever sent it is not our adapter."""


class Pipe:
    """Frames in, frames out. recv(n) returns 1 to n bytes, or b'' at the end."""

    def __init__(self, recv, reply_fd):
        self.recv, self.reply_fd, self.job = recv, reply_fd, 0

    def _exactly(self, n, may_end=False):
        parts, left = [], n
        while left:
            part = self.recv(left)
            if not part:
                if may_end and left == n:
                    return None
                raise Garbage('a request ends in the middle')
            parts.append(part)
            left -= len(part)
        return b''.join(parts)

    def request(self):
        """The next request, or None at the end."""
        head = self._exactly(LENGTHS.size, True)
        if head is None:
            return None
        length, raw = LENGTHS.unpack(head)
        if length == 0 or length > REQUEST_MAX or raw:
            raise Garbage('a request of %d and %d bytes' % (length, raw))
        try:
            request = json.loads(self._exactly(length).decode('utf-8'))
        except (ValueError, RecursionError) as error:
            raise Garbage('a request that is no JSON: %s' % error) from error
        if not isinstance(request, dict):
            raise Garbage('a request that is no object')
        return request

    def send(self, kind, raw=b'', /, **fields):
        head = json.dumps({'is': kind, 'job': self.job, **fields}).encode('ascii')
        if len(head) > HEAD_MAX:
            raise ValueError('an answer of %d bytes' % len(head))
        view = memoryview(LENGTHS.pack(len(head), len(raw)) + head)
        for part in (view, memoryview(raw)):
            while part:
                part = part[os.write(self.reply_fd, part):]


def wanted(request, key, kind, default=None):
    """A field of a request, of that type."""
    value = request.get(key, default)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise Garbage('a request whose %s is %.40r' % (key, value))
    return value


def cut(text, limit=TEXT_MAX):
    """As much of text as fits, as UTF-8 in one line."""
    line = ' '.join(str(text).split()).encode('utf-8', 'backslashreplace')
    return line[:limit].decode('utf-8', 'ignore')


def words_of(error):
    """An exception in a sentence: what it is, and the last places it came through."""
    said = traceback.format_exception_only(type(error), error)[-1].strip().removeprefix('phagescan_engine.')
    here = os.path.dirname(os.path.abspath(__file__))
    places = ['%s:%d in %s' % (os.path.basename(frame.filename), frame.lineno, frame.name)
              for frame in traceback.extract_tb(error.__traceback__)
              if not frame.filename.startswith('<') and os.path.dirname(os.path.abspath(frame.filename)) != here]
    if isinstance(error, SyntaxError) and error.filename:
        places.append('%s:%d' % (os.path.basename(error.filename), error.lineno or 0))
    return cut('%s (%s)' % (cut(said, TEXT_MAX // 2), ', '.join(places[-TRACE_LINES:])) if places else said)


def plain(value, depth=0):
    """A value as JSON can carry it: what it has no type for becomes text, not a number becomes null."""
    if depth > DEPTH_MAX:
        raise ValueError('metadata is nested over %d deep' % DEPTH_MAX)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return value.encode('utf-8', 'backslashreplace').decode('utf-8').replace('\0', '\\x00')
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return plain(bytes(value).decode('utf-8', 'backslashreplace'))
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, dict):
        return {plain(str(key)): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, depth + 1) for item in value]
    return plain(str(value))


def clean_int(value):
    """JSON numbers beyond 64 bits are text: the other side has no room for them."""
    if isinstance(value, dict):
        return {key: clean_int(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean_int(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(1 << 63) <= value < 1 << 63:
        return hex(value)
    return value


class Outgoing:
    """What one scan sends before its last word. What can't be carried is named in `lost`."""

    def __init__(self, pipe):
        self.pipe, self.lost = pipe, ''

    def trait(self, key, value):
        value = clean_int(plain(value))
        text = json.dumps(value, separators=(',', ':'), ensure_ascii=False)
        if not key or len(key.encode('utf-8')) > 128:
            self.lost = self.lost or 'a key of metadata is empty or over 128 bytes'
        elif len(text.encode('utf-8')) > TRAIT_MAX:
            self.lost = self.lost or 'metadata "%.40s" is over %d bytes' % (key, TRAIT_MAX)
        else:
            # As text: its bytes are the adapter's to hand on, and no escape can make them more than they are.
            self.pipe.send('trait', text.encode('utf-8'), key=key)

    def metadata(self, metadata):
        if metadata is None:
            return
        if not isinstance(metadata, dict):
            raise TypeError('metadata must be a dictionary, not %.100r' % (metadata,))
        for key, value in metadata.items():
            self.trait(plain(str(key)), value)

    def file(self, kind, path):
        name = cut(os.path.basename(path), 128) or 'unnamed'
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(fd, 'rb') as file:
            # Bounded by what is read, not by what stat says.
            content = file.read(OUTPUT_MAX + 1)
        if len(content) > OUTPUT_MAX:
            self.lost = self.lost or '"%s" is over %d bytes' % (name, OUTPUT_MAX)
            return
        self.pipe.send(kind, content, name=name, mime=mime_of(content) if kind == 'picture' else '')


PICTURES = ((b'\x89PNG\r\n\x1a\n', 'image/png'), (b'\xff\xd8\xff', 'image/jpeg'), (b'GIF8', 'image/gif'),
            (b'BM', 'image/bmp'), (b'<svg', 'image/svg+xml'))


def mime_of(content):
    return next((mime for magic, mime in PICTURES if content.startswith(magic)), '')


def aliases():
    """The names that the original's adapters import lead to phagescan_engine."""
    for path in ('engines', 'engines.generic', 'engines.generic.abstract', 'engines.generic.result',
                 'engines.generic.exception', 'scanworker', 'scanworker.file', 'scanworker.exception'):
        module = types.ModuleType(path)
        module.__dict__.update({name: value for name, value in vars(api).items() if not name.startswith('__')})
        module.__path__ = []
        parent, _, leaf = path.rpartition('.')
        if parent:
            setattr(sys.modules[parent], leaf, module)
        sys.modules[path] = module


def find_class(module, stem):
    """The engine's class: NAME_engine, or the only one that the file defines."""
    named = getattr(module, stem + '_engine', None)
    if isinstance(named, type) and issubclass(named, api.AbstractEngine):
        return named
    own = [value for value in vars(module).values() if isinstance(value, type)
           and issubclass(value, (api.AbstractEvilnessEngine, api.AbstractMDEngine))
           and value.__module__ == module.__name__]
    if len(own) != 1:
        raise ImportError('it must define the class %s_engine, or one engine alone; it defines %d' % (stem, len(own)))
    return own[0]


def load(path, setup):
    """The engine in the file at path, with what the host lends it."""
    stem = os.path.basename(path)[:-3]
    aliases()
    sys.path.append(os.path.dirname(os.path.abspath(path)))
    spec = importlib.util.spec_from_file_location('%s_scanner' % stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    cls = find_class(module, stem)
    for key in ('signatures', 'data'):
        setattr(cls, key, wanted(setup, key, str, '') or None)
    engine = cls()
    if getattr(engine, 'kind', None) not in ('evilness', 'metadata'):
        raise TypeError('%s derives from neither AbstractEvilnessEngine nor AbstractMDEngine' % cls.__name__)
    return engine


def unfit(engine):
    """Why it can't work here; '' when it can."""
    if not engine.os_compatibility():
        return 'it does not work on this platform (%s)' % sys.platform
    try:
        if engine.engine_path and not engine.engine_path_exists():
            return 'not installed: %s is not there' % engine.engine_path
        if not engine.is_engine_licensed():
            return 'not licensed'
        if not engine.is_installed():
            return 'not installed'
    except api.ScannerRequiresLicenseFile as error:
        return cut('not licensed: %s' % error)
    except api.ScannerNotInstalled as error:
        return cut('not installed: %s' % error)
    except api.ScannerLacksSufficientPermissions as error:
        return cut('needs privilege: %s' % error)
    return ''


def versions(engine):
    """(version, definitions)"""
    version = engine.version
    if isinstance(version, str):
        version = {api.ENGINE_VERSION_KEY: version}
    if not isinstance(version, dict):
        raise TypeError('version must be a dictionary, not %.100r' % (version,))
    said = [cut('' if version.get(key) is None else version[key], 128)
            for key in (api.ENGINE_VERSION_KEY, api.DEFINITION_VERSION_KEY)]
    return said[0] or 'unknown', said[1]


def paths(value, what):
    value = [value] if isinstance(value, (str, os.PathLike)) else list(value or ())
    value = [os.fspath(path) for path in value]
    for path in value:
        if not os.path.isabs(path):
            raise ValueError('%s: %r is no full path' % (what, path))
    return value


def number(engine, key, most):
    value = getattr(engine, key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError('%s must be a number from 0 to %d, not %.40r' % (key, most, value))
    return value


def card(pipe, path):
    """What the class says of itself before anything is granted: one frame."""
    engine = load(path, pipe.request() or {})
    globs = api.as_globs(engine.supported_file_types)
    seen = [os.path.dirname(os.__file__), *(p for p in sys.path if os.path.exists(p))]
    pipe.send('card', kind=engine.kind, types=','.join(globs) if globs else '', licence=cut(engine.licence, 128),
              programs=[*paths(engine.engine_path, 'engine_path'), *paths(engine.programs, 'programs')],
              readable=[*dict.fromkeys(os.path.realpath(p) for p in seen), *paths(engine.readable, 'readable')],
              socket=(paths(engine.socket, 'socket') or [''])[0], writable=paths(engine.writable, 'writable'),
              hosts=[cut(host, 256) for host in engine.update_hosts],
              run_ms=number(engine, 'run_ms', 3600000), at_once=number(engine, 'at_once', 4096),
              updates=type(engine).update_definitions is not api.AbstractEngine.update_definitions)


def check(pipe, path):
    """Whether it can work here, and its versions: one frame."""
    engine = load(path, pipe.request() or {})
    reason = unfit(engine)
    version, definitions = ('', '') if reason else versions(engine)
    pipe.send('checked', reason=reason, version=version, definitions=definitions,
              licence_scans=number(engine, 'licence_scans', 1 << 20),
              licence_ends_at=number(engine, 'licence_ends_at', 1 << 40),
              silence_counts=bool(engine.silence_counts))


def outcome_of(engine, result, out):
    """Sends what a result holds; the last word of the scan."""
    out.metadata(result.metadata)
    if isinstance(result, api.GenericMDResult) and engine.kind == 'metadata':
        for path in result.files:
            out.file('artifact', path)
        for path in result.images:
            out.file('picture', path)
        if result.infected is not None:
            out.trait('infected', bool(result.infected))
        if result.infected_string:
            out.trait('infected_string', str(result.infected_string))
        return 'described'
    if not isinstance(result, api.GenericEvilnessResult) or engine.kind != 'evilness':
        raise TypeError('scan returned %.100r, which is no result of its kind' % (result,))
    if not isinstance(result.infected, bool):
        raise TypeError('infected must be True or False, not %r' % (result.infected,))
    if not result.infected:
        return 'undetected'
    label = cut(result.infected_string, LABEL_MAX)
    if not label:
        raise api.ScannerMustSpecifyInfectionName('infected, but infected_string is empty')
    out.pipe.send('finding', what='malicious', label=label)
    return 'malicious'


def is_wanted(engine, mime):
    """supported_file_types, where they are expressions that no glob can say: the host knows globs alone."""
    if not engine.supported_file_types or not mime or api.as_globs(engine.supported_file_types) is not None:
        return True
    return any(re.match(word, mime) for word in engine.supported_file_types)


def scan_once(engine, sample, out):
    """(outcome, reason) of one scan. Whatever is raised is an outcome, and none that counts as clean."""
    try:
        if not is_wanted(engine, sample.type):
            return 'type-unsupported', ''
        outcome = outcome_of(engine, engine.scan(sample), out)
        if out.lost and outcome in ('undetected', 'described'):
            return 'incomplete', out.lost
        return outcome, out.lost
    except api.ScannerException as error:
        return error.outcome, words_of(error)
    except MemoryError as error:
        return 'failure', cut('out of memory: %s' % words_of(error))
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: the engine's, not ours
        return 'failure', words_of(error)
    finally:
        try:
            engine.remove_generated_files()
        except Exception:
            traceback.print_exc()


def is_alone():
    """No process of this namespace runs but its first and this one; those that only wait to be reaped don't."""
    for name in os.listdir('/proc'):
        if not name.isdigit() or int(name) in (1, os.getpid()):
            continue
        try:
            with open('/proc/%s/stat' % name) as file:
                if file.read().rpartition(')')[2].split()[0] not in 'ZX':
                    return False
        except OSError:
            pass  # it ended meanwhile
    return True


def sweep():
    """Ends whatever the engine left running, in a pid namespace where all but this process and its first are ours. They
    are waited for: a killed process lives on for a moment, and the next scan must not meet it."""
    try:
        os.kill(-1, signal.SIGKILL)
    except OSError as error:
        if error.errno in (errno.ESRCH, errno.EPERM):
            return  # nobody there
        raise
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        pass  # none left
    until = time.monotonic() + SWEEP_S
    while os.path.isdir('/proc/1') and not is_alone() and time.monotonic() < until:
        os.sched_yield()  # orphans are not ours to wait for


def peak_kib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def serve_one(engine, pipe, request, may_sweep, first_kib):
    pipe.job = wanted(request, 'job', int)
    engine.tmpdir = tempfile.tempdir = wanted(request, 'tmpdir', str)
    os.environ['TMPDIR'] = os.environ['HOME'] = engine.tmpdir
    os.chdir(engine.tmpdir)
    sample = api.Sample(SAMPLE_FD, wanted(request, 'size', int), wanted(request, 'sha256', str),
                        wanted(request, 'type', str, ''), engine.tmpdir, engine.sample)
    outcome, reason = scan_once(engine, sample, Outgoing(pipe))
    if may_sweep:
        sweep()
    pipe.send('done', outcome=outcome, reason=reason, last=peak_kib() > first_kib + GROWTH_MAX)


def serve(pipe, path):
    """The setup, then one sample after the other, until the end."""
    setup = pipe.request() or {}
    may_sweep = wanted(setup, 'sweep', bool, False)
    engine = load(path, setup)
    first_kib = peak_kib()
    while True:
        request = pipe.request()
        if request is None:
            return
        serve_one(engine, pipe, request, may_sweep, first_kib)


def update(pipe, path):
    """update_definitions, with the file that the operator brought when there is one."""
    setup = pipe.request() or {}
    engine = load(path, setup)
    engine.definitions_dir = wanted(setup, 'dir', str)
    engine.tmpdir = tempfile.tempdir = wanted(setup, 'tmpdir', str)
    size = wanted(setup, 'size', int)  # -1: no file
    reason = ''
    try:
        if size >= 0:
            sample = api.Sample(SAMPLE_FD, size, None, '', engine.tmpdir)
            sample.digest = api._sha256_of('/proc/self/fd/%d' % SAMPLE_FD) if os.path.exists('/proc/self/fd') else ''
            engine.update_definitions(sample)
        elif engine.requires_update_file_from_master:
            raise api.ScannerUpdateError('it wants a file with the new definitions')
        else:
            engine.update_definitions()
    except Exception as error:
        reason = words_of(error)
    finally:
        engine.remove_generated_files()
    pipe.send('updated', reason=reason)


class FromSocket:
    """Bytes from the socket of requests. A descriptor that comes along becomes SAMPLE_FD."""

    def __init__(self, fd):
        # All three are given: else the constructor would ask the kernel, with calls that the jail doesn't know.
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=fd)

    def __call__(self, n):
        size = array.array('i').itemsize
        data, ancillary, _, _ = self.sock.recvmsg(n, socket.CMSG_SPACE(size), socket.MSG_CMSG_CLOEXEC)
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS and len(content) >= size:
                fd = struct.unpack('i', content[:size])[0]
                if fd != SAMPLE_FD:
                    os.dup2(fd, SAMPLE_FD, False)
                    os.close(fd)
        return data


def main():
    mode, path = sys.argv[1:]
    modes = {'card': card, 'check': check, 'serve': serve, 'update': update}
    # Programs that the engine starts get none of these. In a fork of this process the answers are closed: its end is
    # seen, whatever of it lives on.
    for fd in (REQUEST_FD, REPLY_FD):
        os.set_inheritable(fd, False)
    os.register_at_fork(after_in_child=lambda: os.close(REPLY_FD))
    pipe = Pipe(FromSocket(REQUEST_FD), REPLY_FD)
    try:
        modes[mode](pipe, path)
    except Exception as error:
        # What the adapter quotes.
        print(words_of(error), file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
