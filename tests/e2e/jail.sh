# jail.sh - workers that can do no harm: what a real one has given up, and what becomes of a job that takes more memory
# than it was admitted for.

# A library that stands before the worker: when a slab's pages are touched it takes 200 MiB more, as long as a file
# called "steal" lies in the data directory. What the kernel does not give is reported as the kernel would.
cat >"$dir/thief.c" <<'END'
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int madvise(void *at, size_t bytes, int advice) {
    if (advice == 23 /* MADV_POPULATE_WRITE */ && access(getenv("THIEF"), F_OK) == 0) {
        size_t taken = (size_t)200 << 20;
        void *more = mmap(NULL, taken, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (more == MAP_FAILED)
            return errno = ENOMEM, -1;
        memset(more, 1, taken);
    }
    return (int)syscall(SYS_madvise, at, bytes, advice);
}
END
check "the thief compiles" ${CC:-cc} -shared -fPIC -o "$dir/thief.so" "$dir/thief.c"

THIEF="$dir/data/steal" LD_PRELOAD="$dir/thief.so" start
job='{"kind": "attention", "inputs": {"q": {"shape": [1, 64, 64], "random": {"seed": 1}},
  "k": {"shape": [1, 64, 64], "random": {"seed": 2}}, "v": {"shape": [1, 64, 64], "random": {"seed": 3}}}}'
id=$(submit "$job")
check "a job that keeps to its plan succeeds" until_state "$id" succeeded 60
before=$(children)
touch "$dir/data/steal"
id=$(submit "$job")
check "one that takes 200 MiB more fails" until_state "$id" failed 60
same "  because there is no memory for it" out-of-memory "$(job_field "$id" /problem/type | sed 's|.*/||')"
rm "$dir/data/steal"
id=$(submit "$job")
check "  and the next succeeds" until_state "$id" succeeded 60
same "  in the same process" "$before" "$(children)"
code "no worker ended" 1 grep worker.ended "$dir/log"

if grep -q worker.sandbox "$dir/log"; then
  echo "--    the kernel or this machine has not all of the sandbox: $(grep -o '"message":.*' "$dir/log" | grep sandbox | head -n 1)"
else
  status=$(cat "/proc/$(children)/status")
  same "the worker filters its system calls" 2 "$(awk '/^Seccomp:/ {print $2}' <<<"$status")"
  same "  and gains no privilege" 1 "$(awk '/^NoNewPrivs:/ {print $2}' <<<"$status")"
fi
stop
start --sandbox off
id=$(submit "$job")
check "without a sandbox a job succeeds" until_state "$id" succeeded 60
same "  and there is no filter" 0 "$(awk '/^Seccomp:/ {print $2}' "/proc/$(children)/status")"
code "--sandbox maybe is refused" 2 "$rematd" serve --sandbox maybe
says "  by its name" "--sandbox: 'maybe' is not auto|on|off"
