// A kernel's IPsec that costs nothing and does nothing, for a daemon that speaks NETLINK_XFRM:
// preloaded, it answers every request at once, inside the process, without a system call.
// SPIs count up; SAs and policies are acknowledged and forgotten; expiry and acquires never come.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

enum { descriptors_max = 1024, answer_max = 1024 };

// An answer waits in its descriptor's place until it is read; daemons ask one thing at a time.
static struct answer {
  _Atomic int is_ours;
  size_t size;
  unsigned char octets[answer_max];
} answers[descriptors_max];
static _Atomic unsigned next_spi = 0xc0000000U;

static struct answer* answer_of(int descriptor) {
  if (descriptor < 0 || descriptor >= descriptors_max) return NULL;
  return atomic_load(&answers[descriptor].is_ours) ? &answers[descriptor] : NULL;
}

int socket(int domain, int type, int protocol) {
  static int (*real)(int, int, int);
  if (!real) real = (int (*)(int, int, int))dlsym(RTLD_NEXT, "socket");
  if (domain != AF_NETLINK || protocol != NETLINK_XFRM) return real(domain, type, protocol);
  int made = eventfd(0, EFD_CLOEXEC);  // never readable: no events
  if (made >= 0 && made < descriptors_max) atomic_store(&answers[made].is_ours, 1);
  return made;
}

int bind(int descriptor, const struct sockaddr* address, socklen_t size) {
  static int (*real)(int, const struct sockaddr*, socklen_t);
  if (!real) real = (int (*)(int, const struct sockaddr*, socklen_t))dlsym(RTLD_NEXT, "bind");
  return answer_of(descriptor) ? 0 : real(descriptor, address, size);
}

int setsockopt(int descriptor, int level, int name, const void* value, socklen_t size) {
  static int (*real)(int, int, int, const void*, socklen_t);
  if (!real) real = (int (*)(int, int, int, const void*, socklen_t))dlsym(RTLD_NEXT, "setsockopt");
  return answer_of(descriptor) ? 0 : real(descriptor, level, name, value, size);
}

int close(int descriptor) {
  static int (*real)(int);
  if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "close");
  if (answer_of(descriptor)) atomic_store(&answers[descriptor].is_ours, 0);
  return real(descriptor);
}

static void answer_request(struct answer* to, const struct nlmsghdr* asked) {
  struct nlmsghdr* header = (struct nlmsghdr*)to->octets;
  memset(to->octets, 0, sizeof to->octets);
  header->nlmsg_seq = asked->nlmsg_seq;
  header->nlmsg_pid = asked->nlmsg_pid;
  if (asked->nlmsg_type == XFRM_MSG_ALLOCSPI) {
    const struct xfrm_userspi_info* wanted = NLMSG_DATA(asked);
    struct xfrm_usersa_info* found = NLMSG_DATA(header);
    *found = wanted->info;
    unsigned spi = atomic_fetch_add(&next_spi, 1);
    found->id.spi = __builtin_bswap32(spi);
    header->nlmsg_type = XFRM_MSG_NEWSA;
    header->nlmsg_len = NLMSG_LENGTH(sizeof *found);
  } else if (asked->nlmsg_flags & NLM_F_DUMP) {
    header->nlmsg_type = NLMSG_DONE;
    header->nlmsg_len = NLMSG_LENGTH(sizeof(int));
  } else {
    struct nlmsgerr* done = NLMSG_DATA(header);
    // There is no such thing to be told about; everything else is good.
    int is_question =
        asked->nlmsg_type == XFRM_MSG_GETSA || asked->nlmsg_type == XFRM_MSG_GETPOLICY;
    done->error = is_question ? -ESRCH : 0;
    done->msg = *asked;
    header->nlmsg_type = NLMSG_ERROR;
    header->nlmsg_len = NLMSG_LENGTH(sizeof *done);
  }
  to->size = header->nlmsg_len;
}

static ssize_t take(struct answer* from, void* octets, size_t size, int flags) {
  if (from->size == 0) {
    errno = EAGAIN;
    return -1;
  }
  size_t given = from->size < size ? from->size : size;
  memcpy(octets, from->octets, given);
  if (!(flags & MSG_PEEK)) from->size = 0;
  return (ssize_t)given;
}

ssize_t sendto(int descriptor, const void* octets, size_t size, int flags,
               const struct sockaddr* address, socklen_t address_size) {
  static ssize_t (*real)(int, const void*, size_t, int, const struct sockaddr*, socklen_t);
  if (!real)
    real = (ssize_t(*)(int, const void*, size_t, int, const struct sockaddr*, socklen_t))dlsym(
        RTLD_NEXT, "sendto");
  struct answer* ours = answer_of(descriptor);
  if (!ours) return real(descriptor, octets, size, flags, address, address_size);
  answer_request(ours, octets);
  return (ssize_t)size;
}

ssize_t send(int descriptor, const void* octets, size_t size, int flags) {
  static ssize_t (*real)(int, const void*, size_t, int);
  if (!real) real = (ssize_t(*)(int, const void*, size_t, int))dlsym(RTLD_NEXT, "send");
  struct answer* ours = answer_of(descriptor);
  if (!ours) return real(descriptor, octets, size, flags);
  answer_request(ours, octets);
  return (ssize_t)size;
}

ssize_t recv(int descriptor, void* octets, size_t size, int flags) {
  static ssize_t (*real)(int, void*, size_t, int);
  if (!real) real = (ssize_t(*)(int, void*, size_t, int))dlsym(RTLD_NEXT, "recv");
  struct answer* ours = answer_of(descriptor);
  return ours ? take(ours, octets, size, flags) : real(descriptor, octets, size, flags);
}

ssize_t recvfrom(int descriptor, void* octets, size_t size, int flags, struct sockaddr* address,
                 socklen_t* address_size) {
  static ssize_t (*real)(int, void*, size_t, int, struct sockaddr*, socklen_t*);
  if (!real)
    real = (ssize_t(*)(int, void*, size_t, int, struct sockaddr*, socklen_t*))dlsym(RTLD_NEXT,
                                                                                    "recvfrom");
  struct answer* ours = answer_of(descriptor);
  if (!ours) return real(descriptor, octets, size, flags, address, address_size);
  if (address && address_size) {
    memset(address, 0, *address_size);
    address->sa_family = AF_NETLINK;
  }
  return take(ours, octets, size, flags);
}

// An answer that waits is to be read at once.
int select(int count, fd_set* readable, fd_set* writable, fd_set* other, struct timeval* timeout) {
  static int (*real)(int, fd_set*, fd_set*, fd_set*, struct timeval*);
  if (!real)
    real = (int (*)(int, fd_set*, fd_set*, fd_set*, struct timeval*))dlsym(RTLD_NEXT, "select");
  for (int at = 0; readable && at < count; ++at) {
    struct answer* ours = FD_ISSET(at, readable) ? answer_of(at) : NULL;
    if (!ours || ours->size == 0) continue;
    FD_ZERO(readable);
    FD_SET(at, readable);
    return 1;
  }
  return real(count, readable, writable, other, timeout);
}
