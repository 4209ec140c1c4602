package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// program is one long-running process by name; after its end its command line is kept for another start.
type program struct {
	argv []string
	log  string
	pid  int
	done chan struct{}
	code int
}

// processes starts children and collects all of them, also those that a child left behind to process 1.
type processes struct {
	namespaced bool
	mu         sync.Mutex
	programs   map[string]*program
	// waiting holds, by process id, what to do with the exit code.
	waiting map[int]func(code int)
	// jobs run on one operating system thread: the kernel kills the children with the thread that made them.
	jobs chan func()
}

func newProcesses(namespaced bool) *processes {
	p := &processes{namespaced: namespaced, programs: map[string]*program{}, waiting: map[int]func(int){}, jobs: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for job := range p.jobs {
			job()
		}
	}()
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	go func() {
		for range children {
			p.collect()
		}
	}()
	return p
}

// collect reaps every child that has ended. No child is waited for elsewhere.
func (p *processes) collect() {
	for {
		p.mu.Lock()
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			p.mu.Unlock()
			continue
		}
		if err != nil || pid <= 0 {
			p.mu.Unlock()
			return
		}
		code := status.ExitStatus()
		if status.Signaled() {
			code = 128 + int(status.Signal())
		}
		if ended := p.waiting[pid]; ended != nil {
			delete(p.waiting, pid)
			ended(code)
		}
		p.mu.Unlock()
	}
}

// spawn starts a child in a process group of its own; ended is called with the lock held.
func (p *processes) spawn(argv []string, stdin, output *os.File, errput *os.File, ended func(int)) (int, error) {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return 0, err
	}
	type result struct {
		pid int
		err error
	}
	answer := make(chan result, 1)
	p.jobs <- func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		process, err := os.StartProcess(path, argv, &os.ProcAttr{Files: []*os.File{stdin, output, errput}, Sys: ownGroup()})
		if err != nil {
			answer <- result{err: err}
			return
		}
		p.waiting[process.Pid] = ended
		answer <- result{pid: process.Pid}
	}
	r := <-answer
	return r.pid, r.err
}

type startOrder struct {
	Name string   `json:"name"`
	Argv []string `json:"argv"`
	Log  string   `json:"log"`
}

type processState struct {
	Pid     int  `json:"pid"`
	Running bool `json:"running"`
	Code    int  `json:"code"`
}

// start starts a program; without a command line, with the one it had before.
func (p *processes) start(in startOrder) (processState, error) {
	p.mu.Lock()
	known := p.programs[in.Name]
	p.mu.Unlock()
	if known != nil && known.running() {
		return processState{}, fmt.Errorf("%s runs already", in.Name)
	}
	if len(in.Argv) == 0 {
		if known == nil {
			return processState{}, fmt.Errorf("%s was never started", in.Name)
		}
		in.Argv, in.Log = known.argv, known.log
	}
	log, err := os.OpenFile(in.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return processState{}, err
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return processState{}, err
	}
	defer null.Close()
	next := &program{argv: in.Argv, log: in.Log, done: make(chan struct{})}
	next.pid, err = p.spawn(in.Argv, null, log, log, func(code int) {
		next.code = code
		close(next.done)
	})
	if err != nil {
		return processState{}, err
	}
	p.mu.Lock()
	p.programs[in.Name] = next
	p.mu.Unlock()
	return processState{Pid: next.pid, Running: true}, nil
}

func (program *program) running() bool {
	select {
	case <-program.done:
		return false
	default:
		return true
	}
}

func (p *processes) named(name string) (*program, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if program := p.programs[name]; program != nil {
		return program, nil
	}
	return nil, fmt.Errorf("%s was never started", name)
}

type stopOrder struct {
	Name string `json:"name"`
	// GraceMillis is how long it may take to end by itself; 0 kills it at once.
	GraceMillis int `json:"graceMillis"`
}

func (p *processes) stop(in stopOrder) (processState, error) {
	program, err := p.named(in.Name)
	if err != nil {
		return processState{}, err
	}
	if program.running() {
		// A stopped process takes no SIGTERM before it is continued.
		syscall.Kill(program.pid, syscall.SIGCONT)
		if in.GraceMillis > 0 {
			syscall.Kill(program.pid, syscall.SIGTERM)
		}
		select {
		case <-program.done:
		case <-time.After(time.Duration(in.GraceMillis) * time.Millisecond):
			syscall.Kill(program.pid, syscall.SIGKILL)
			<-program.done
		}
	}
	return processState{Pid: program.pid, Code: program.code}, nil
}

type signalOrder struct {
	Name   string `json:"name"`
	Signal int    `json:"signal"`
}

func (p *processes) signal(in signalOrder) (processState, error) {
	program, err := p.named(in.Name)
	if err != nil {
		return processState{}, err
	}
	if !program.running() {
		return processState{}, fmt.Errorf("%s does not run", in.Name)
	}
	return processState{Pid: program.pid, Running: true}, syscall.Kill(program.pid, syscall.Signal(in.Signal))
}

type stateOrder struct {
	Name string `json:"name"`
}

func (p *processes) state(in stateOrder) (processState, error) {
	program, err := p.named(in.Name)
	if err != nil {
		return processState{}, err
	}
	running := program.running()
	state := processState{Pid: program.pid, Running: running}
	if !running {
		state.Code = program.code
	}
	return state, nil
}

type runOrder struct {
	Argv  []string `json:"argv"`
	Stdin string   `json:"stdin"`
}

type runAnswer struct {
	Code   int    `json:"code"`
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr"`
}

// run runs a command to its end where the cluster's processes run.
func (p *processes) run(in runOrder) (runAnswer, error) {
	if len(in.Argv) == 0 {
		return runAnswer{}, errors.New("no command")
	}
	var files [3]*os.File
	for i := range files {
		file, err := os.CreateTemp("", "run-")
		if err != nil {
			return runAnswer{}, err
		}
		os.Remove(file.Name())
		defer file.Close()
		files[i] = file
	}
	if _, err := files[0].WriteString(in.Stdin); err != nil {
		return runAnswer{}, err
	}
	if _, err := files[0].Seek(0, io.SeekStart); err != nil {
		return runAnswer{}, err
	}
	ended := make(chan int, 1)
	if _, err := p.spawn(in.Argv, files[0], files[1], files[2], func(code int) { ended <- code }); err != nil {
		return runAnswer{}, err
	}
	code := <-ended
	var texts [2]string
	for i, file := range files[1:] {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return runAnswer{}, err
		}
		data, err := io.ReadAll(file)
		if err != nil {
			return runAnswer{}, err
		}
		texts[i] = string(data)
	}
	return runAnswer{Code: code, Stdout: texts[0], Stderr: texts[1]}, nil
}

// killAll kills every process of the cluster and returns when none is left. Its data go too, so none needs a tidy end.
func (p *processes) killAll() {
	for {
		p.mu.Lock()
		pids := make([]int, 0, len(p.waiting))
		for pid := range p.waiting {
			pids = append(pids, pid)
		}
		p.mu.Unlock()
		if p.namespaced {
			// Everything in the process namespace but this process.
			if errors.Is(syscall.Kill(-1, syscall.SIGKILL), syscall.ESRCH) {
				return
			}
		} else if len(pids) == 0 {
			return
		}
		slices.Sort(pids)
		for _, pid := range pids {
			syscall.Kill(-pid, syscall.SIGKILL)
		}
		p.collect()
		time.Sleep(5 * time.Millisecond)
	}
}
