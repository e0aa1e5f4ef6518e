/**
 * The completion scripts. Each asks `cnictl __complete`, which makes the candidates from the
 * command tree, so a script stays right over releases.
 */

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/**
 * Bash breaks words at `=` and `:` and replaces only what is behind them, so the candidates lose
 * what stands before. It needs no package bash-completion.
 */
const BASH = String.raw`# bash completion of cnictl: source <(cnictl completion bash)
_cnictl() {
    local line=${'$'}{COMP_LINE:0:COMP_POINT} word directive
    local -a found=()
    mapfile -t found < <(CELLNET_COMPLETE_LINE=$line "${'$'}{COMP_WORDS[0]}" __complete 2>/dev/null)
    COMPREPLY=()
    ((${'$'}{#found[@]})) || return 0
    directive=${'$'}{found[-1]#:}
    unset 'found[-1]'
    local begun=${'$'}{line##*[[:space:]]} broken=''
    [[ $begun == *[=:]* ]] && broken=${'$'}{begun%"${'$'}{begun##*[=:]}"}
    [[ $COMP_WORDBREAKS == *:* || $broken != *: ]] || broken=''
    for word in "${'$'}{found[@]}"; do
        word=${'$'}{word%%$'\t'*}
        COMPREPLY+=("${'$'}{word#"$broken"}")
    done
    ((${'$'}{#COMPREPLY[@]})) || { ((directive & 4)) || mapfile -t COMPREPLY < <(compgen -f -- "${'$'}{COMP_WORDS[COMP_CWORD]}"); }
    ((directive & 2)) && compopt -o nospace 2>/dev/null
    return 0
}
complete -F _cnictl cnictl
`;

const ZSH = String.raw`#compdef cnictl
# zsh completion of cnictl: cnictl completion zsh > "${'$'}{fpath[1]}/_cnictl"
_cnictl() {
    local -a found candidates
    local line directive
    found=("${'$'}{(@f)$("${'$'}{words[1]}" __complete "${'$'}{(@)words[2,CURRENT]}" 2>/dev/null)}")
    directive=${'$'}{found[-1]#:}
    for line in "${'$'}{(@)found[1,-2]}"; do
        local word=${'$'}{line%%$'\t'*}
        local about=''
        [[ $line == *$'\t'* ]] && about=":${'$'}{line#*$'\t'}"
        candidates+=("${'$'}{word//:/\\:}$about")
    done
    if ((${'$'}{#candidates})); then
        local -a end=()
        ((directive & 2)) && end=(-S '')
        _describe -V cnictl candidates "${'$'}{end[@]}"
    elif ! ((directive & 4)); then
        _files
    fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _cnictl "$@"
elif (( $+functions[compdef] )); then
    compdef _cnictl cnictl
fi
`;

const FISH = String.raw`# fish completion of cnictl: cnictl completion fish | source
function __cnictl_complete
    set -l words (commandline -opc)
    set -l begun (commandline -ct)
    set -l found ($words[1] __complete $words[2..-1] "$begun" 2>/dev/null)
    set -q found[1]; or return
    set -l directive (string sub -s 2 -- $found[-1])
    set -e found[-1]
    if set -q found[1]
        printf '%s\n' $found
    else if test "$directive" = 0
        __fish_complete_path "$begun"
    end
end
complete -c cnictl -f -a '(__cnictl_complete)'
`;

export const completionScript = (shell: Shell): string => ({ bash: BASH, zsh: ZSH, fish: FISH })[shell];
