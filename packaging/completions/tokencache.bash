# Completion of tokencache for bash.

_tokencache() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} options files=1
  COMPREPLY=()
  if [ "$COMP_CWORD" = 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W 'keys help --help --version' -- "$word")
    return
  fi
  if [ "$COMP_CWORD" = 2 ]; then
    mapfile -t COMPREPLY < <(compgen -W \
      'generate show check stage activate retire revoke wrap protect unprotect --help' -- "$word")
    return
  fi
  case $before in
    -o | --ring | --to | --unwrap-key)
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
    --longest-ttl | --prefix | --key) return ;;
  esac
  case ${COMP_WORDS[2]} in
    generate) options='-o --ring --to' files='' ;;
    show) options='--reveal-material --unwrap-key' ;;
    check) options='--longest-ttl --unwrap-key' ;;
    stage) options='--to' ;;
    activate | retire | revoke) options='' ;;
    wrap) options='--to -o --unwrap-key' ;;
    protect | unprotect) options='--prefix --key --unwrap-key --force' ;;
    *) return ;;
  esac
  if [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options --help" -- "$word")
  elif [ -n "$files" ]; then
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
  fi
}

complete -F _tokencache tokencache
