package redact

import (
	"bytes"
	"strings"
)

// secretOption is how a program takes a password on its command line.
type secretOption struct {
	program string // how its name begins
	option  byte   // the letter after the dash
	glued   bool   // -pPASSWORD only: with a blank, it asks for one or means something else
	userTo  bool   // user:password
}

func secretOptions() []secretOption {
	return []secretOption{
		{program: "mysql", option: 'p', glued: true}, {program: "mariadb", option: 'p', glued: true},
		{program: "mongo", option: 'p'}, {program: "sshpass", option: 'p'}, {program: "docker login", option: 'p'},
		{program: "podman login", option: 'p'}, {program: "nerdctl login", option: 'p'}, {program: "helm registry login", option: 'p'},
		{program: "az login", option: 'p'}, {program: "redis-cli", option: 'a'},
		{program: "curl ", option: 'u', userTo: true}, {program: "curl ", option: 'U', userTo: true},
		{program: "ldapsearch", option: 'w'}, {program: "ldapmodify", option: 'w'}, {program: "ldapadd", option: 'w'}, {program: "ldapwhoami", option: 'w'},
		{program: "ipmitool", option: 'P'}, {program: "sqlcmd", option: 'P'},
		{program: "snmpwalk", option: 'c'}, {program: "snmpget", option: 'c'}, {program: "snmpbulk", option: 'c'}, {program: "snmpset", option: 'c'}, {program: "snmptrap", option: 'c'},
	}
}

// programWords are the keywords of [program].
func programWords() []string {
	var words []string
	for _, o := range secretOptions() {
		words = append(words, o.program)
	}
	return words
}

// program finds the password on the command line of a program that takes it
// as -p (or -a, -u user:password) with or without a blank.
func program(b []byte, at, end int) (int, int) {
	const longest = 1024
	stop := min(lineEnd(b, end), end+longest)
	name := bytes.ReplaceAll(b[at:end], []byte{0}, []byte{' '})
	var known [4]secretOption
	n := 0
	for _, o := range secretOptions() {
		if hasFold(name, o.program) && n < len(known) {
			known[n] = o
			n++
		}
	}
	for i := end - 1; i+2 < stop; i++ {
		if !isBlank(b[i]) || b[i+1] != '-' {
			continue
		}
		for _, o := range known[:n] {
			if from, to := o.value(b[:stop], i+2); from >= 0 {
				return from, to
			}
		}
	}
	return -1, stop
}

// value finds the password of the option whose letter may be b[i].
func (o secretOption) value(b []byte, i int) (int, int) {
	if b[i] != o.option {
		return -1, i
	}
	from := skip(b, i+1, isBlank)
	if from >= len(b) || b[from] == '-' && from > i+1 || o.glued && from > i+1 {
		return -1, i
	}
	from, to := valueAt(b, from, false)
	if from < 0 || !o.userTo {
		return from, to
	}
	return afterUser(b, from, to)
}

// userOption finds the password of --user name:password.
func userOption(b []byte, _, end int) (int, int) {
	from, to := valueAt(b, skip(b, end, isBlank), false)
	if from < 0 || bytes.IndexByte(b[from:to], ':') < 0 {
		return -1, end
	}
	return afterUser(b, from, to)
}

// afterUser gives what follows the colon of user:password, if there is one.
func afterUser(b []byte, from, to int) (int, int) {
	if n := bytes.IndexByte(b[from:to], ':'); n >= 0 {
		from += n + 1
	}
	if from == to {
		return -1, to
	}
	return from, to
}

// arguments follows the strings of an array, which may be a command line.
type arguments struct {
	options []secretOption // of the program
	command string         // the first words, until the program is known
	armed   bool           // the last argument was --password or the like
	userTo  bool           // and its value is user:password
}

// next says from where on an argument is to be masked, and by which rule; the
// rule is empty when it is not.
func (a *arguments) next(arg []byte, s *scanner) (from int, rule string) {
	armed, userTo := a.armed, a.userTo
	a.armed, a.userTo = false, false
	isFlag := len(arg) > 1 && arg[0] == '-'
	if bytes.HasPrefix(arg, []byte("pass:")) && strings.HasPrefix(a.command, "openssl ") {
		return len("pass:"), ruleArgument
	}
	if armed && !isFlag && (!userTo || bytes.IndexByte(arg, ':') >= 0) {
		return secretPart(arg, 0, userTo), ruleArgument
	}
	if !isFlag {
		a.learn(arg)
		return 0, ""
	}
	for _, o := range a.options {
		if arg[1] != o.option {
			continue
		}
		if len(arg) > 2 {
			return secretPart(arg, 2, o.userTo), ruleArgument
		}
		a.armed, a.userTo = !o.glued, o.userTo
		return 0, ""
	}
	if bytes.IndexByte(arg, '=') < 0 {
		a.userTo = string(arg) == "--user" || string(arg) == "--proxy-user"
		a.armed = a.userTo || s.secretName(arg)
	}
	return 0, ""
}

// secretPart gives where the secret in an argument begins.
func secretPart(arg []byte, from int, userTo bool) int {
	if n := bytes.IndexByte(arg[from:], ':'); userTo && n >= 0 {
		return from + n + 1
	}
	return from
}

// learn finds out which program the arguments are for, from its first words.
func (a *arguments) learn(arg []byte) {
	const longest = 64
	if len(a.options) > 0 || len(a.command) > longest || len(arg) > 4*longest {
		return
	}
	a.command += string(arg[bytes.LastIndexByte(arg, '/')+1:]) + " "
	for _, o := range secretOptions() {
		if strings.Contains(a.command, o.program) {
			a.options = append(a.options, o)
		}
	}
}
