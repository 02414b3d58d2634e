# The programs that hold style and walls: clang-format, tools/lint.py, bash -n, clang-tidy.

source_files() {
  git ls-files --cached --others --exclude-standard -- '*.cpp' '*.hpp' | while read -r file; do
    [ -f "$file" ] && printf '%s\n' "$file"
  done
}

check_format() { source_files | xargs -r clang-format --dry-run --Werror; }

check_scripts() {
  local file status=0
  while read -r file; do
    [ -f "$file" ] && [ "$(head -c 11 "$file" | tr -d '\0')" = "#!/bin/bash" ] || continue
    bash -n "$file" || status=1
  done < <(git ls-files --cached --others --exclude-standard)
  for file in tools/dev/*.sh; do bash -n "$file" || status=1; done
  return $status
}

# What changed against the branch everybody shares; on a clean checkout, what the last commits
# touched. Bounded: clang-tidy needs 5 to 30 s a file. `./dev lint --full` looks at everything.
TIDY_FILES_MAX=24
changed_files() {
  local base
  base=$(git merge-base HEAD origin/main 2>/dev/null || git merge-base HEAD origin/master 2>/dev/null || true)
  {
    git diff --name-only HEAD
    git ls-files --others --exclude-standard
    [ -n "$base" ] && git diff --name-only "$base" HEAD
    git log --name-only --pretty=format: -n 10
  } 2>/dev/null | grep -E '\.cpp$' | awk '!seen[$0]++' | while read -r file; do
    [ -f "$file" ] && printf '%s\n' "$file"
  done
}

# tidy BUILD_FOLDER, file names on stdin
tidy() { python3 tools/dev/tidy.py "$1" "$(build_jobs)"; }
tidy_changed() { changed_files | head -n "$TIDY_FILES_MAX" | tidy "$1"; }
tidy_all() { source_files | grep '\.cpp$' | tidy "$1"; }

# lint_steps [--full]: every step runs, whatever fails before it
lint_steps() {
  local status=0
  step lint-format check_format || status=1
  STEP_TAIL=60 step lint-rules python3 tools/lint.py || status=1
  step lint-scripts check_scripts || status=1
  # Configured again, so that new files are known to the compilation database.
  step lint-configure cmake --preset dev || return 1
  if [ "${1:-}" = --full ]; then
    STEP_TAIL=40 step lint-tidy-all tidy_all build/dev || status=1
  else
    STEP_TAIL=40 step lint-tidy tidy_changed build/dev || status=1
  fi
  return $status
}

run_lint() {
  local status=0
  begin_steps
  setup_packages
  lint_steps "$@" || status=1
  end_steps
  exit $status
}
