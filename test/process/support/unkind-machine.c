/*
 * A machine that is unkind to one process, preloaded under the shipped command (LD_PRELOAD): its disk forgets what was not
 * synced, is full, slow or fails, and its wall clock jumps.
 *
 * It stands at the boundary to the C library and not in Node, because there are few calls there, because threads share
 * them, and because nothing goes past them: what is not modelled says so, and a power loss then refuses to be simulated.
 *
 * UNKIND_MACHINE names a folder, on the same file system as the data, with
 *   control   int64: [0] milliseconds to add to the wall clock, [1] 1 = disk full, [2] milliseconds that a sync takes
 *             longer, [3] 1 = syncs fail with EIO. May be written at any time.
 *   log       what was there before each change that is not known to be durable, in the order of the changes
 *   slot<n>   the same for one O_DSYNC write that is on its way
 *   i<inode>  a further name of every file that was opened for writing or lost its name
 * UNKIND_DISK is the folder whose files are looked after. power-loss.ts reads all this, and knows the layout:
 *
 *   record    u32 kind, u32 bytes of text, u64 inode, u64 offset, u64 length, u64 other, u64 stamp; then text, then bytes
 *   1 write   of `length` bytes at `offset`; `other` = size of the file before; bytes = what was there, up to that size
 *   2 done    an O_DSYNC write of `length` bytes at `offset` came back; `other` and stamp = the write's
 *   3 synced  file `inode`, of size `length`; `offset` = place in this log where the sync began
 *   4 named   text = new name in folder `other` for `inode`; length 1: it is a folder
 *   5 unnamed text = name that is gone from folder `other`, of `inode`; length 1: it was a folder
 *   6 renamed text = old name, 0, new name; `other` = folder of the new one, `offset` = folder of the old one,
 *             `length` = inode that had the new name before, or 0
 *   7 folder  `inode` was synced; `offset` = place in this log where that began
 *   8 beyond  text = a call that is not modelled
 *
 * A sync of a file does not make its name durable; a sync of its folder does. A write that is on its way when the process
 * dies is not durable in any part. What is noted of a name that goes may never have happened: the process died between.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { WRITE = 1, DONE, SYNCED, NAMED, UNNAMED, RENAMED, FOLDER, BEYOND };
enum { slotsMax = 64, descriptorsMax = 65536 };

struct record {
  uint32_t kind, textBytes;
  uint64_t inode, offset, length, other, stamp;
};

static char machine[PATH_MAX], disk[PATH_MAX];
static volatile int64_t *control;
static int logFile = -1, slotFiles[slotsMax];
static uint8_t slotTaken[slotsMax];
/* 1: a file of the disk. Folders of it too, because they are synced. */
static uint8_t tracked[descriptorsMax];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t stamps;

#define REAL(name)                              \
  ({                                            \
    static __typeof__(&name) how;               \
    if (how == NULL) how = real(#name);         \
    how;                                        \
  })
static void *real(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  if (found == NULL) abort();
  return found;
}

static void die(const char *why) {
  dprintf(2, "{\"level\":\"error\",\"event\":\"unkind-machine\",\"why\":\"%s: %s\"}\n", why, strerror(errno));
  abort();
}

static void putAll(int file, const void *bytes, size_t length, off_t at) {
  const char *rest = bytes;
  while (length > 0) {
    ssize_t put = at < 0 ? REAL(write)(file, rest, length) : REAL(pwrite64)(file, rest, length, at);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) die("its own log can't be written");
    rest += put, length -= put;
    if (at >= 0) at += put;
  }
}

/* One record, whole, behind all others. */
static void note(struct record head, const char *text, const void *bytes, size_t length) {
  size_t all = sizeof head + head.textBytes + length;
  char *joined = malloc(all);
  if (joined == NULL) die("no memory");
  memcpy(joined, &head, sizeof head);
  if (head.textBytes > 0) memcpy(joined + sizeof head, text, head.textBytes);
  if (length > 0) memcpy(joined + sizeof head + head.textBytes, bytes, length);
  pthread_mutex_lock(&lock);
  putAll(logFile, joined, all, -1);
  pthread_mutex_unlock(&lock);
  free(joined);
}

static void beyond(const char *call) {
  note((struct record){.kind = BEYOND, .textBytes = strlen(call)}, call, NULL, 0);
}

static uint64_t logLength(void) {
  return (uint64_t)lseek(logFile, 0, SEEK_END);
}

static uint64_t newStamp(void) {
  struct timespec now;
  REAL(clock_gettime)(CLOCK_MONOTONIC, &now);
  uint64_t own = __atomic_add_fetch(&stamps, 1, __ATOMIC_SEQ_CST);
  /* Other lives have written other ones; 53 bits are kept. */
  return (((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000) << 20 | (own & 0xfffff)) & 0x1fffffffffffffULL;
}

static void settle(void);

__attribute__((constructor)) static void begin(void) {
  const char *folder = getenv("UNKIND_MACHINE"), *of = getenv("UNKIND_DISK");
  if (folder == NULL || of == NULL) return;
  char path[PATH_MAX + 32];
  snprintf(machine, sizeof machine, "%s", folder);
  snprintf(disk, sizeof disk, "%s", of);
  snprintf(path, sizeof path, "%s/control", machine);
  int file = REAL(open64)(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0 || REAL(ftruncate64)(file, 4096) != 0) die("its control can't be opened");
  control = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
  if (control == MAP_FAILED) die("its control can't be mapped");
  REAL(close)(file);
  snprintf(path, sizeof path, "%s/log", machine);
  logFile = REAL(open64)(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (logFile < 0) die("its log can't be opened");
  for (int slot = 0; slot < slotsMax; slot++) slotFiles[slot] = -1;
  settle();
}

/* What an earlier life of the process had on its way stands in the log from now on, before anything of this one. */
static void settle(void) {
  char path[PATH_MAX + 32];
  for (int slot = 0; slot < slotsMax; slot++) {
    snprintf(path, sizeof path, "%s/slot%d", machine, slot);
    int file = REAL(open64)(path, O_RDWR | O_CLOEXEC, 0600);
    if (file < 0) continue;
    struct record head;
    if (pread64(file, &head, sizeof head, 0) == sizeof head && head.kind == WRITE) {
      size_t kept = head.other > head.offset ? head.other - head.offset : 0;
      if (kept > head.length) kept = head.length;
      char *bytes = malloc(kept + 1);
      if (bytes == NULL || pread64(file, bytes, kept, sizeof head) != (ssize_t)kept) die("a slot can't be read");
      note(head, NULL, bytes, kept);
      free(bytes);
    }
    REAL(close)(file);
    REAL(unlink)(path);
  }
}

static int isOurs(const char *path) {
  size_t length = strlen(disk);
  return control != NULL && path != NULL && strncmp(path, disk, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static int isTracked(int file) {
  return control != NULL && file >= 0 && file < descriptorsMax && tracked[file];
}

/* The folder that a path is in. */
static uint64_t folderOf(const char *path) {
  char folder[PATH_MAX];
  snprintf(folder, sizeof folder, "%s", path);
  char *slash = strrchr(folder, '/');
  if (slash != NULL) *slash = 0;
  struct stat found;
  return stat(folder, &found) == 0 ? found.st_ino : 0;
}

static uint64_t inodeOf(const char *path, int *isFolder) {
  struct stat found;
  if (lstat(path, &found) != 0) return 0;
  if (isFolder != NULL) *isFolder = S_ISDIR(found.st_mode);
  return found.st_ino;
}

/* A further name, so that the content is found whatever becomes of the first one. */
static void keep(const char *path, uint64_t inode) {
  char kept[PATH_MAX + 32];
  snprintf(kept, sizeof kept, "%s/i%llu", machine, (unsigned long long)inode);
  if (REAL(link)(path, kept) != 0 && errno != EEXIST && errno != ENOENT) die("a file can't be kept");
}

static void noteName(uint32_t kind, const char *path, uint64_t inode, int isFolder) {
  struct record head = {.kind = kind, .textBytes = strlen(path), .inode = inode, .length = isFolder, .other = folderOf(path)};
  note(head, path, NULL, 0);
}

/* Opening */

static int opened(int file, const char *path, int flags, int wasThere) {
  int before = errno;
  if (file >= 0 && file < descriptorsMax) {
    tracked[file] = 1;
    struct stat found;
    if (fstat(file, &found) == 0 && S_ISREG(found.st_mode)) {
      if (!wasThere) noteName(NAMED, path, found.st_ino, 0);
      if ((flags & O_ACCMODE) != O_RDONLY) keep(path, found.st_ino);
    }
  }
  errno = before;
  return file;
}

static int openAs(int (*how)(const char *, int, ...), const char *path, int flags, mode_t mode) {
  if (!isOurs(path)) {
    int file = how(path, flags, mode);
    if (file >= 0 && file < descriptorsMax) tracked[file] = 0;
    return file;
  }
  struct stat found;
  int wasThere = stat(path, &found) == 0;
  if (wasThere && (flags & O_TRUNC) && found.st_size > 0) beyond("open with O_TRUNC");
  return opened(how(path, flags, mode), path, flags, wasThere);
}

#define OPEN(name)                                                     \
  int name(const char *path, int flags, ...) {                         \
    va_list rest;                                                      \
    va_start(rest, flags);                                             \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                                      \
    return openAs((int (*)(const char *, int, ...))real(#name), path, flags, mode); \
  }
OPEN(open)
OPEN(open64)

int close(int file) {
  if (isTracked(file)) tracked[file] = 0;
  return REAL(close)(file);
}

/* Writing */

static int64_t told(int which) {
  return control == NULL ? 0 : __atomic_load_n(&control[which], __ATOMIC_RELAXED);
}

static void linger(void) {
  int64_t ms = told(2);
  if (ms <= 0) return;
  struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
  nanosleep(&pause, NULL);
}

/* What is where a write will go, in memory of its own; `*kept` bytes. */
static char *former(int file, uint64_t offset, uint64_t length, uint64_t size, size_t *kept) {
  *kept = size > offset ? (size - offset < length ? size - offset : length) : 0;
  char *bytes = malloc(*kept + 1);
  if (bytes == NULL) die("no memory");
  size_t read = 0;
  while (read < *kept) {
    /* A file may be open for writing alone. */
    ssize_t count = pread64(file, bytes + read, *kept - read, offset + read);
    if (count <= 0) die("what is overwritten can't be read");
    read += count;
  }
  return bytes;
}

static int takeSlot(void) {
  pthread_mutex_lock(&lock);
  int slot = 0;
  while (slot < slotsMax && slotTaken[slot]) slot++;
  if (slot == slotsMax) die("too many writes at once");
  slotTaken[slot] = 1;
  pthread_mutex_unlock(&lock);
  if (slotFiles[slot] < 0) {
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/slot%d", machine, slot);
    slotFiles[slot] = REAL(open64)(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (slotFiles[slot] < 0) die("a slot can't be opened");
  }
  return slot;
}

static ssize_t putTracked(int file, const struct iovec *parts, int count, off_t at) {
  struct stat found;
  if (fstat(file, &found) != 0 || !S_ISREG(found.st_mode)) return REAL(pwritev64)(file, parts, count, at);
  size_t length = 0;
  for (int part = 0; part < count; part++) length += parts[part].iov_len;
  uint64_t size = found.st_size, end = at + length;
  struct iovec shorter = {.iov_base = parts[0].iov_base, .iov_len = parts[0].iov_len};
  if (told(1) && end > size) {
    /* The write that meets the end of the disk is short; the next one fails. */
    size_t half = parts[0].iov_len / 2;
    if (half == 0 || newStamp() % 4 != 0) return errno = ENOSPC, -1;
    shorter.iov_len = half, parts = &shorter, count = 1, length = half;
  }
  struct record head = {.kind = WRITE, .inode = found.st_ino, .offset = at, .length = length, .other = size, .stamp = newStamp()};
  size_t kept;
  char *bytes = former(file, at, length, size, &kept);
  int flags = fcntl(file, F_GETFL);
  if (!(flags & O_DSYNC)) {
    note(head, NULL, bytes, kept);
    free(bytes);
    return REAL(pwritev64)(file, parts, count, at);
  }
  int slot = takeSlot();
  struct record none = {0};
  if (kept > 0) putAll(slotFiles[slot], bytes, kept, sizeof head);
  putAll(slotFiles[slot], &head, sizeof head, 0);
  free(bytes);
  linger();
  ssize_t put;
  if (told(3)) put = -1, errno = EIO;
  else put = REAL(pwritev64)(file, parts, count, at);
  int why = errno;
  if (put >= 0) head.kind = DONE, head.length = put, note(head, NULL, NULL, 0);
  else {
    /* Nothing is known of it: it stays what can be undone. */
    bytes = malloc(kept + 1);
    if (bytes == NULL || pread64(slotFiles[slot], bytes, kept, sizeof head) != (ssize_t)kept) die("a slot can't be read");
    note(head, NULL, bytes, kept);
    free(bytes);
  }
  putAll(slotFiles[slot], &none, sizeof none, 0);
  slotTaken[slot] = 0;
  errno = why;
  return put;
}

static ssize_t putHere(int file, const struct iovec *parts, int count) {
  struct stat found;
  if (fstat(file, &found) != 0 || !S_ISREG(found.st_mode)) return REAL(writev)(file, parts, count);
  off_t at = fcntl(file, F_GETFL) & O_APPEND ? found.st_size : lseek(file, 0, SEEK_CUR);
  ssize_t put = putTracked(file, parts, count, at);
  if (put > 0) lseek(file, at + put, SEEK_SET);
  return put;
}

ssize_t write(int file, const void *bytes, size_t length) {
  if (!isTracked(file)) return REAL(write)(file, bytes, length);
  struct iovec part = {.iov_base = (void *)bytes, .iov_len = length};
  return putHere(file, &part, 1);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
  return isTracked(file) ? putHere(file, parts, count) : REAL(writev)(file, parts, count);
}

#define PWRITE(name, offset)                                                     \
  ssize_t name(int file, const void *bytes, size_t length, offset at) {          \
    if (!isTracked(file)) return REAL(name)(file, bytes, length, at);            \
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = length};          \
    return putTracked(file, &part, 1, at);                                       \
  }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define PWRITEV(name, offset)                                                    \
  ssize_t name(int file, const struct iovec *parts, int count, offset at) {      \
    if (!isTracked(file)) return REAL(name)(file, parts, count, at);             \
    return putTracked(file, parts, count, at);                                   \
  }
PWRITEV(pwritev, off_t)
PWRITEV(pwritev64, off64_t)

/* Syncing */

static int syncTracked(int file, int (*how)(int)) {
  struct stat found;
  if (fstat(file, &found) != 0) return how(file);
  uint64_t from = logLength();
  linger();
  if (told(3)) return errno = EIO, -1;
  int done = how(file);
  int why = errno;
  struct record head = {.kind = S_ISDIR(found.st_mode) ? FOLDER : SYNCED, .inode = found.st_ino, .offset = from, .length = found.st_size};
  if (done == 0) note(head, NULL, NULL, 0);
  errno = why;
  return done;
}

int fsync(int file) {
  return isTracked(file) ? syncTracked(file, REAL(fsync)) : REAL(fsync)(file);
}

int fdatasync(int file) {
  return isTracked(file) ? syncTracked(file, REAL(fdatasync)) : REAL(fdatasync)(file);
}

/* Names */

int rename(const char *from, const char *to) {
  if (!isOurs(from) && !isOurs(to)) return REAL(rename)(from, to);
  int isFolder = 0;
  uint64_t inode = inodeOf(from, &isFolder), replaced = inodeOf(to, NULL);
  if (replaced == inode) return REAL(rename)(from, to);
  if (inode != 0 && !isFolder) keep(from, inode);
  if (replaced != 0) keep(to, replaced);
  uint64_t fromFolder = folderOf(from), toFolder = folderOf(to);
  char text[2 * PATH_MAX];
  size_t length = snprintf(text, sizeof text, "%s%c%s", from, 0, to);
  struct record head = {.kind = RENAMED, .textBytes = length, .inode = inode, .offset = fromFolder, .length = replaced, .other = toFolder};
  note(head, text, NULL, 0);
  return REAL(rename)(from, to);
}

int link(const char *from, const char *to) {
  int done = REAL(link)(from, to), why = errno;
  if (done == 0 && isOurs(to)) noteName(NAMED, to, inodeOf(to, NULL), 0);
  errno = why;
  return done;
}

int unlink(const char *path) {
  if (!isOurs(path)) return REAL(unlink)(path);
  uint64_t inode = inodeOf(path, NULL);
  if (inode != 0) {
    keep(path, inode);
    noteName(UNNAMED, path, inode, 0);
  }
  return REAL(unlink)(path);
}

int mkdir(const char *path, mode_t mode) {
  int done = REAL(mkdir)(path, mode), why = errno;
  if (done == 0 && isOurs(path) && strcmp(path, disk) != 0) noteName(NAMED, path, inodeOf(path, NULL), 1);
  errno = why;
  return done;
}

int rmdir(const char *path) {
  uint64_t inode = isOurs(path) ? inodeOf(path, NULL) : 0;
  if (inode != 0) noteName(UNNAMED, path, inode, 1);
  return REAL(rmdir)(path);
}

#define TRUNCATE(name, offset)                           \
  int name(int file, offset length) {                    \
    if (isTracked(file)) beyond(#name);                  \
    return REAL(name)(file, length);                     \
  }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

ssize_t copy_file_range(int from, off64_t *fromAt, int to, off64_t *toAt, size_t length, unsigned flags) {
  if (isTracked(to)) beyond("copy_file_range");
  return REAL(copy_file_range)(from, fromAt, to, toAt, length, flags);
}

/* Space */

#define STATFS(name, type)                                       \
  int name(const char *path, struct type *into) {                \
    int done = REAL(name)(path, into);                           \
    if (done == 0 && told(1) && isOurs(path)) into->f_bavail = into->f_bfree = 0; \
    return done;                                                 \
  }
STATFS(statfs, statfs)
STATFS(statfs64, statfs64)

/* Time */

static void shift(struct timespec *time) {
  int64_t ms = told(0);
  int64_t nanos = time->tv_nsec + ms % 1000 * 1000000;
  time->tv_sec += ms / 1000;
  if (nanos < 0) nanos += 1000000000, time->tv_sec--;
  if (nanos >= 1000000000) nanos -= 1000000000, time->tv_sec++;
  time->tv_nsec = nanos;
}

int clock_gettime(clockid_t clock, struct timespec *into) {
  int done = REAL(clock_gettime)(clock, into);
  if (done == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) shift(into);
  return done;
}

int gettimeofday(struct timeval *into, void *zone) {
  (void)zone;
  struct timespec now;
  int done = clock_gettime(CLOCK_REALTIME, &now);
  if (done == 0) into->tv_sec = now.tv_sec, into->tv_usec = now.tv_nsec / 1000;
  return done;
}

time_t time(time_t *into) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (into != NULL) *into = now.tv_sec;
  return now.tv_sec;
}
