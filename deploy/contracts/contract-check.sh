#!/bin/sh
# Says what the contracts of this checkout break against an older state of the repository, for whom, and what to do.
#   contract-check.sh [BASE] [FOLDER]    BASE: a git reference, origin/main when absent. FOLDER: of the contracts, proto when absent.
# Ends with 0 when they are compatible, 1 when they break somebody, 2 when they cannot be compared. STATOR is how stator is
# started; STATOR_AUDIENCE=servers,json leaves breaks of code over stubs out. In a GitHub workflow the changelog goes into its
# summary.
set -eu
base=${1:-origin/main}
folder=${2:-proto}

stator=${STATOR:-}
if [ -z "$stator" ]; then
  if [ -x node_modules/.bin/stator ]; then
    stator=node_modules/.bin/stator
  elif command -v stator >/dev/null 2>&1; then
    stator=stator
  else
    echo "contract-check: there is no stator here. Install it in this project, or say in STATOR how to start it." >&2
    exit 2
  fi
fi

# A shallow checkout lacks the other branch.
if ! git rev-parse --verify --quiet "$base^{commit}" >/dev/null; then
  branch=${base#origin/}
  if ! git fetch --quiet --depth=1 origin "+refs/heads/$branch:refs/remotes/origin/$branch"; then
    echo "contract-check: there is no $base here and origin has no branch $branch. Name the state to compare with." >&2
    exit 2
  fi
fi
if ! git rev-parse --verify --quiet "$base:$folder" >/dev/null; then
  echo "contract-check: $base has no $folder yet, so nothing can break."
  exit 0
fi

status=0
$stator contract check "$base:$folder" "$folder" || status=$?
if [ "$status" -ne 2 ] && [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
  $stator contract diff "$base:$folder" "$folder" >>"$GITHUB_STEP_SUMMARY"
fi
exit "$status"
