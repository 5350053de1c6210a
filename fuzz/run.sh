#!/usr/bin/env bash
# Runs every fuzzer for SECONDS (600), one after another, at the lowest priority, and prints what each did. Needs
# cargo-fuzz and a nightly compiler. Ends with 1 if any fuzzer found something.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
seconds=${1:-600}
found=0
[ -d corpus ] || python3 seeds.py || exit 2
mkdir -p artifacts
printf '%-10s %12s %8s %8s %s\n' target executions seconds rss_mib result
for target in ${TARGETS:-class_map list png jpeg npy weights pth settings metrics}; do
    log=artifacts/$target.log
    result=clean
    nice -n 19 cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 \
        -malloc_limit_mb=1024 -max_len=65536 -print_final_stats=1 >"$log" 2>&1 || { result="FOUND, see $log"; found=1; }
    rm -rf /dev/shm/hectare-fuzz-*
    number() { sed -n "s/^stat::$1: *//p" "$log" | tail -1; }
    spent=$(sed -n 's/^Done [0-9]* runs in \([0-9]*\) second.*/\1/p' "$log" | tail -1)
    printf '%-10s %12s %8s %8s %s\n' "$target" "$(number number_of_executed_units)" "${spent:-?}" "$(number peak_rss_mb)" "$result"
done
exit $found
