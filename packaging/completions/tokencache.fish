# Completion of tokencache for fish.

complete -c tokencache -f
complete -c tokencache -n __fish_use_subcommand -a keys -d 'the key ring'
complete -c tokencache -n __fish_use_subcommand -a help
complete -c tokencache -n __fish_use_subcommand -l version
complete -c tokencache -l help

set -l commands generate show check stage activate retire revoke wrap protect unprotect
set -l choosing "__fish_seen_subcommand_from keys; and not __fish_seen_subcommand_from $commands"
complete -c tokencache -n $choosing -a generate -d 'make a new ring'
complete -c tokencache -n $choosing -a show -d 'what is in a ring'
complete -c tokencache -n $choosing -a check -d 'can it be used, can two machines read each other?'
complete -c tokencache -n $choosing -a stage -d 'add a new key, retired'
complete -c tokencache -n $choosing -a activate -d 'seal under this key from now on'
complete -c tokencache -n $choosing -a retire -d 'a key opens what it sealed, and seals nothing'
complete -c tokencache -n $choosing -a revoke -d 'a key opens nothing, and its material is dropped'
complete -c tokencache -n $choosing -a wrap -d 'keep the keys for the owners of certificates alone'
complete -c tokencache -n $choosing -a protect -d 'seal standard input'
complete -c tokencache -n $choosing -a unprotect -d 'open standard input'

complete -c tokencache -n '__fish_seen_subcommand_from show check stage activate retire revoke wrap protect unprotect' -F
complete -c tokencache -n '__fish_seen_subcommand_from generate wrap' -s o -r -F -d 'the file to write'
complete -c tokencache -n '__fish_seen_subcommand_from generate' -l ring -r -F -d 'the file to write'
complete -c tokencache -n '__fish_seen_subcommand_from generate stage wrap' -l to -r -F -d 'a certificate or public key'
complete -c tokencache -n '__fish_seen_subcommand_from show check wrap protect unprotect' -l unwrap-key -r -F \
  -d 'a private key that opens what is wrapped'
complete -c tokencache -n '__fish_seen_subcommand_from show' -l reveal-material -d 'print the keys themselves'
complete -c tokencache -n '__fish_seen_subcommand_from check' -l longest-ttl -x -d 'days of the longest-lived entry'
complete -c tokencache -n '__fish_seen_subcommand_from protect unprotect' -l prefix -x -d 'l2.key_prefix'
complete -c tokencache -n '__fish_seen_subcommand_from protect unprotect' -l key -x -d 'the cache key'
complete -c tokencache -n '__fish_seen_subcommand_from protect unprotect' -l force -d 'write binary output to a terminal too'
