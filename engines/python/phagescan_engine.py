"""phagescan_engine: what an engine written in Python derives from.

    from phagescan_engine import EvilnessEngine

    class example_engine(EvilnessEngine):
        ...

The shape is that of the original Phagescan's adapters; the names that those import (engines.generic.abstract,
engines.generic.result, engines.generic.exception, scanworker.file, scanworker.exception) lead here as well.
docs/engines.md teaches it; phagescan_runner.py beside this file runs it, in the engine's jail.
"""
import hashlib
import os
import re
import shutil
import subprocess
import sys

ENGINE_VERSION_KEY = 'engine'
DEFINITION_VERSION_KEY = 'definitions'

L32, L64 = 'Linux 32', 'Linux 64'
W32, W64 = 'Windows 32', 'Windows 64'

OUTPUT_MAX = 1 << 20  # bytes of a program's output that run() keeps


class ScannerException(Exception):
    """Base of what an engine may raise. `outcome` is what the scan then ends with; never one that counts as clean."""
    outcome = 'failure'


class UnsupportedFileTypeForScanner(ScannerException):
    """Not a kind of file that this engine looks at."""
    outcome = 'type-unsupported'


class ScannerCantParseFile(ScannerException):
    """Its kind of file, but broken: looked at, not to the end."""
    outcome = 'incomplete'


class ScannerIncomplete(ScannerException):
    """Encrypted, over a limit, truncated: not looked at everything. (Not of the original.)"""
    outcome = 'incomplete'


class ScanError(ScannerException):
    """The scanner answered with an error."""


class ScannerConnectionError(ScannerException):
    """Its daemon doesn't answer."""


class ScannerMustSpecifyInfectionName(ScannerException):
    """Infected, but by nothing that has a name."""


class ScannerRequiresLicenseFile(ScannerException):
    """No valid licence."""


class ScannerLacksSufficientPermissions(ScannerException):
    """Needs a right that it doesn't have."""


class ScannerOutputFileToBeSavedMustBeFullPath(ScannerException):
    """add_output_file wants an absolute path."""


class ScannerUpdateError(ScannerException):
    """New definitions could not be had."""


class ScannerNotInstalled(ScannerException):
    """What it wraps is not here."""


ScannerIsNotInstalled = ScannerNotInstalled


class Sample:
    """The file to look at, as _scan gets it.

    As a path (str(sample), os.fspath(sample), an argument of subprocess, open(sample)) it is a copy in the temporary
    directory, made when it is first asked for; with the engine's attribute `sample = 'fd'` it is /proc/self/fd/3 and
    no copy is made (a program needs pass_fds=(3,), which self.run() gives). `fd` is the descriptor itself."""

    def __init__(self, fd, size, digest, type_='', tmpdir=None, how='file'):
        self.fd = fd
        self.size = size
        self.digest = digest  # SHA-256, hexadecimal
        self.type = type_  # MIME type, '' when unknown
        self.original_filename = None  # never told: a name is no part of a sample
        self._tmpdir = tmpdir
        self._how = how
        self._path = None

    @property
    def all_content(self):
        """All bytes. Mind that a sample may be larger than the memory that a scan may use."""
        at, parts = 0, []
        while at < self.size:
            part = os.pread(self.fd, min(self.size - at, 1 << 24), at)
            if not part:
                raise OSError('the sample is shorter than it was said to be')
            parts.append(part)
            at += len(part)
        return b''.join(parts)

    _memory_file_buffer = all_content

    def read(self, n=-1, at=0):
        """n bytes (all that is left when negative) from offset at."""
        return os.pread(self.fd, max(self.size - at, 0) if n < 0 else n, at)

    @property
    def path(self):
        if self._how == 'fd':
            return '/proc/self/fd/%d' % self.fd
        if self._path is None:
            self._path = self._copy()
        return self._path

    def _copy(self):
        path = os.path.join(self._tmpdir or '/tmp', 'sample')
        out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            at = 0
            while at < self.size:
                sent = os.sendfile(out, self.fd, at, min(self.size - at, 1 << 24))
                if sent == 0:
                    raise OSError('the sample is shorter than it was said to be')
                at += sent
        finally:
            os.close(out)
        return path

    def check_copy(self):
        """Raises when a copy was made and is gone or another now: an on-access scanner of the machine took it."""
        if self._path is None:
            return
        try:
            same = os.stat(self._path).st_size == self.size and _sha256_of(self._path) == self.digest
        except OSError:
            same = False
        if not same:
            raise ScanError("the sample's copy was removed or changed during the scan, by the engine or by an "
                            'on-access scanner of this machine')

    def __fspath__(self):
        return self.path

    __str__ = __fspath__


PickleableFileSample = Sample


def _sha256_of(path):
    sha256 = hashlib.sha256()
    with open(path, 'rb') as file:
        for part in iter(lambda: file.read(1 << 20), b''):
            sha256.update(part)
    return sha256.hexdigest()


class GenericEvilnessResult:
    """What a scan of an evilness engine ended with."""

    def __init__(self, digest=None, infected=None, infected_string='', metadata=None):
        if not isinstance(infected, bool):
            raise TypeError('infected must be True or False, not %r' % (infected,))
        if infected and not infected_string:
            raise ScannerMustSpecifyInfectionName('infected, but infected_string is empty')
        self.digest = digest
        self.infected = infected
        self.infected_string = infected_string
        self.metadata = metadata


class GenericMDResult:
    """What a scan of a metadata engine ended with. files and images are absolute paths."""

    def __init__(self, metadata=None, digest=None, files=(), images=(), infected=None, infected_string=None):
        self.metadata = metadata
        self.digest = digest
        self.files = list(files)
        self.images = list(images)
        self.infected = infected
        self.infected_string = infected_string


class AbstractEngine:
    """An engine. What has to be written: _scan, _parse_scan_result, version; all else has a default."""

    platform = L32
    engine_path = None  # the program that it runs; None for none
    supported_file_types = ()  # MIME types as globs or regular expressions; () for all
    requires_update_file_from_master = False

    # Not of the original:
    licence = ''  # SPDX of this class and what it links
    sample = 'file'  # how a program gets the sample: 'file' or 'fd', see Sample
    programs = ()  # further programs that it runs, absolute
    readable = ()  # files and directories that it or its programs read, absolute
    socket = None  # UNIX socket of its daemon
    writable = ()  # for update_definitions: directories that it may change
    update_hosts = ()  # for update_definitions: "host:port"
    run_ms = 0  # time a scan may take; 0 for the worker's default
    at_once = 0  # scans at once on one machine; 0 for any number
    licence_scans = 0  # scans at once that the licence allows in the whole fleet
    licence_ends_at = 0  # seconds since 1970
    silence_counts = True  # False: finding nothing says nothing

    signatures = None  # set before anything is called: the directory of definitions, or None
    data = None  # likewise: the directory of the engine's own read-only files
    definitions_dir = None  # likewise, for update_definitions alone: where the new ones go
    tmpdir = None  # set before each scan: private, empty, wiped afterwards; also the working directory

    _marked = ()  # in the class, for engines whose __init__ doesn't call this one's

    @property
    def q_name(self):
        return type(self).__name__.split('_')[0]

    @property
    def name(self):
        return self.q_name

    @property
    def version(self):
        """A dictionary with ENGINE_VERSION_KEY and, when there are definitions, DEFINITION_VERSION_KEY."""
        raise NotImplementedError('version is not written')

    def is_installed(self):
        return self.engine_path_exists() and self.is_engine_path_executable() and self.is_engine_licensed()

    def engine_path_exists(self):
        return not self.engine_path or os.path.exists(self.engine_path)

    def is_engine_path_executable(self):
        return not self.engine_path or os.access(self.engine_path, os.X_OK)

    def is_engine_licensed(self):
        return True

    @classmethod
    def os_compatibility(cls):
        return sys.platform.startswith('linux')

    def get_update_file_factory(self):
        return None

    def update_definitions(self, file=None):
        raise ScannerUpdateError('%s has no update_definitions' % self.name)

    def _scan(self, file):
        raise NotImplementedError('_scan is not written')

    def _parse_scan_result(self, raw):
        raise NotImplementedError('_parse_scan_result is not written')

    def _result(self, parsed, digest):
        raise NotImplementedError

    def scan(self, file):
        """A whole scan, as the runner calls it."""
        return self.do_scan(file)

    def do_scan(self, file):
        raw = self._scan(file)
        if isinstance(file, Sample):
            file.check_copy()
        return self._result(self._parse_scan_result(raw), getattr(file, 'digest', None))

    def mark_path_for_removal(self, path):
        """Removed after the scan, whatever became of it. The temporary directory is wiped anyway."""
        self._marked = [*self._marked, os.path.abspath(path)]

    def remove_generated_files(self):
        marked, self._marked = self._marked, ()
        for path in marked:
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path, ignore_errors=True)
                continue
            try:
                os.unlink(path)
            except OSError:
                pass  # gone already, or in a directory that is read-only here: nothing is left to do

    def run(self, *command, stdin=subprocess.DEVNULL):
        """Runs a program: (exit status, output as text). Standard error goes into the output. A status below 0 is a
        signal. An output over OUTPUT_MAX is an error, since what was dropped may have said something. There is no
        timeout: run_ms ends the scan, and all that runs in it."""
        with subprocess.Popen([os.fspath(word) for word in command], stdin=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, pass_fds=(3,) if self.sample == 'fd' else ()) as child:
            try:
                # Bounded: what is read, not what the program writes.
                output = child.stdout.read(OUTPUT_MAX + 1)
                if len(output) > OUTPUT_MAX:
                    raise ScanError('%s wrote more than %d bytes' % (command[0], OUTPUT_MAX))
                status = child.wait()
            except BaseException:
                child.kill()
                raise
        return status, output.decode('utf-8', 'replace')


class AbstractEvilnessEngine(AbstractEngine):
    """An engine that judges. _parse_scan_result returns (infected, infected_string, metadata): True or False, the name
    of what was found, a dictionary; or a dictionary of those three keys."""

    kind = 'evilness'

    def _result(self, parsed, digest):
        if isinstance(parsed, GenericEvilnessResult):
            return parsed
        if isinstance(parsed, dict):
            extra = set(parsed) - {'infected', 'infected_string', 'metadata'}
            if extra:
                raise TypeError('_parse_scan_result returned the keys %s' % ', '.join(sorted(map(str, extra))))
            parsed = (parsed.get('infected'), parsed.get('infected_string', ''), parsed.get('metadata'))
        if not isinstance(parsed, (tuple, list)) or len(parsed) != 3:
            raise TypeError('_parse_scan_result must return (infected, infected_string, metadata), not %.100r'
                            % (parsed,))
        return GenericEvilnessResult(digest, *parsed)


class AbstractMDEngine(AbstractEngine):
    """An engine that describes. _parse_scan_result returns (files, images, metadata), or the metadata alone, a
    dictionary. What was given to add_output_file and its like comes along in any case."""

    kind = 'metadata'
    _files = _images = ()

    def scan(self, file):
        self._files = self._images = ()
        return super().scan(file)

    def add_output_file(self, path):
        self._files = [*self._files, _full(path)]

    def add_output_file_from_string(self, buf, name):
        """Makes a file of buf (text or bytes) that is called name."""
        base = os.path.basename(name)
        if not base or base in ('.', '..'):
            raise ValueError('%r is no name for a file' % name)
        holder = os.path.join(self.tmpdir or '/tmp', 'output-%d' % len(self._files))
        os.mkdir(holder, 0o700)
        path = os.path.join(holder, base)
        with open(path, 'wb') as file:
            file.write(buf.encode('utf-8', 'surrogateescape') if isinstance(buf, str) else buf)
        self.add_output_file(path)
        return path

    def add_output_image(self, path):
        self._images = [*self._images, _full(path)]

    def _result(self, parsed, digest):
        if isinstance(parsed, GenericMDResult):
            parsed.files = _merged(self._files, parsed.files)
            parsed.images = _merged(self._images, parsed.images)
            return parsed
        if isinstance(parsed, dict):
            parsed = ((), (), parsed)
        if not isinstance(parsed, (tuple, list)) or len(parsed) != 3:
            raise TypeError('_parse_scan_result must return (files, images, metadata), not %.100r' % (parsed,))
        files, images, metadata = parsed
        return GenericMDResult(metadata, digest, _merged(self._files, files), _merged(self._images, images))


def _full(path):
    path = os.fspath(path)
    if not os.path.isabs(path):
        raise ScannerOutputFileToBeSavedMustBeFullPath('%r is no full path' % path)
    return path


def _merged(added, returned):
    """Each once, in the order in which they came."""
    return list(dict.fromkeys([*added, *(_full(path) for path in returned or ())]))


EvilnessEngine = AbstractEvilnessEngine
MetadataEngine = AbstractMDEngine

_GLOB = re.compile(r'[A-Za-z0-9.+_*-]+/[A-Za-z0-9.+_*-]+|\*')


def as_globs(types):
    """supported_file_types as globs of MIME types, or None when some are regular expressions that no glob can say."""
    globs = []
    for word in types:
        glob = re.sub(r'^\^|\$$', '', word).replace('.*', '*')
        glob = re.sub(r'\\([./+-])', r'\1', glob)
        if not _GLOB.fullmatch(glob):
            return None
        globs.append(glob.lower())
    return globs
