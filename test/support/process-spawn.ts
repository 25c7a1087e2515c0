/**
 * Child processes of tests, benches and soaks.
 *
 * Invariants: no child outlives this process (all are killed on exit, SIGTERM and SIGINT); what a
 * child prints is kept up to a bound, newest last, for reports of failures; every wait has a
 * deadline and names what it waited for.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { isAbsent } from '../../node/storage/health.ts'

const KEPT_OUTPUT_CHARS = 1024 * 1024
const POLL_MS = 50
const DEFAULT_RUN_MS = 60_000

export interface Outcome {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface SpawnOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Program put in front, with its arguments (eatmydata, faketime). */
  readonly wrapper?: readonly string[]
}

const living = new Set<ChildProcess>()
let hooked = false

export class Child {
  readonly pid: number
  readonly title: string
  readonly exited: Promise<Outcome>
  #stdout = ''
  #stderr = ''
  #outcome: Outcome | undefined

  constructor(title: string, command: string, args: readonly string[], options: SpawnOptions = {}) {
    killAllOnExit()
    const [program = command, ...rest] = [...(options.wrapper ?? []), command, ...args]
    const child = spawn(program, rest, {
      env: { ...process.env, ...options.env },
      cwd: options.cwd,
      stdio: ['ignore', 'pipe', 'pipe']
    })
    living.add(child)
    this.title = title
    this.pid = child.pid ?? -1
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout = keep(this.#stdout + text)
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = keep(this.#stderr + text)
    })
    this.exited = new Promise(resolve => {
      const end = (code: number | null, signal: NodeJS.Signals | null, error = ''): void => {
        living.delete(child)
        this.#outcome ??= { code, signal, stdout: this.#stdout, stderr: this.#stderr + error }
        resolve(this.#outcome)
      }
      child.on('error', error => end(127, null, error.message))
      child.on('close', (code, signal) => end(code, signal))
    })
  }

  get outcome(): Outcome | undefined {
    return this.#outcome
  }

  get stdout(): string {
    return this.#stdout
  }

  get stderr(): string {
    return this.#stderr
  }

  /** Sends the signal, unless the child has ended. */
  signal(name: NodeJS.Signals): void {
    if (this.#outcome === undefined && this.pid > 0) process.kill(this.pid, name)
  }

  /** kill -9, and waits until the process is gone. */
  async kill(): Promise<Outcome> {
    this.signal('SIGKILL')
    return this.exited
  }

  /** SIGTERM, then SIGKILL if it is still there after `graceMs`. */
  async stop(graceMs = 15_000): Promise<Outcome> {
    this.signal('SIGTERM')
    const timer = setTimeout(() => this.signal('SIGKILL'), graceMs)
    const outcome = await this.exited
    clearTimeout(timer)
    return outcome
  }

  /** The tail of what it printed, for the report of a failure. */
  tail(chars = 4000): string {
    const text = `${this.#stdout.slice(-chars)}\n${this.#stderr.slice(-chars)}`.trim()
    return `--- ${this.title} (pid ${this.pid})\n${text}`
  }
}

/** Runs a program to its end; kills it, and throws, after `timeoutMs`. */
export async function run(
  command: string,
  args: readonly string[],
  options: SpawnOptions & { timeoutMs?: number } = {}
): Promise<Outcome> {
  const child = new Child(command, command, args, options)
  const timeoutMs = options.timeoutMs ?? DEFAULT_RUN_MS
  let late = false
  const timer = setTimeout(() => {
    late = true
    child.signal('SIGKILL')
  }, timeoutMs)
  const outcome = await child.exited
  clearTimeout(timer)
  if (late) throw new Error(`${command} ${args.join(' ')}: not done after ${timeoutMs} ms`)
  return outcome
}

/** Runs a program that must succeed; its output, or an error that shows it. */
export async function runOk(
  command: string,
  args: readonly string[],
  options: SpawnOptions & { timeoutMs?: number } = {}
): Promise<string> {
  const outcome = await run(command, args, options)
  if (outcome.code === 0) return outcome.stdout
  const ended = outcome.signal ?? `exit ${outcome.code}`
  const said = `${outcome.stdout}\n${outcome.stderr}`.trim()
  throw new Error(`${command} ${args.join(' ')}: ${ended}\n${said}`)
}

/** Asks `probe` again and again until it answers; the error after `timeoutMs` names `what`. */
export async function until<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs = 30_000,
  pollMs = POLL_MS
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const answer = await probe()
    if (answer !== undefined && answer !== false) return answer
    if (performance.now() > deadline) throw new Error(`after ${timeoutMs} ms still not: ${what}`)
    await new Promise(resolve => setTimeout(resolve, pollMs))
  }
}

/** User and system CPU seconds that the process has used so far. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The name, in parentheses, may hold spaces; utime and stime are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const CLOCK_TICKS_PER_SECOND = 100
  return (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS_PER_SECOND
}

/** Whether a signal has stopped every thread of the process. */
export function isStopped(pid: number): boolean {
  const tasks = `/proc/${pid}/task`
  try {
    return readdirSync(tasks).every(task =>
      /^State:\s+T/m.test(readFileSync(`${tasks}/${task}/status`, 'utf8'))
    )
  } catch (error) {
    // A thread that ended meanwhile, of a process that has not stopped yet.
    if (isAbsent(error)) return false
    throw error
  }
}

/** Waits until the child has printed a line that matches, and gives the match. */
export async function printed(child: Child, pattern: RegExp, timeoutMs = 30_000) {
  return until(
    `${child.title} prints ${pattern}`,
    () => {
      const match = pattern.exec(child.stdout) ?? pattern.exec(child.stderr)
      if (match) return match
      if (child.outcome) throw new Error(`${child.title} ended early\n${child.tail()}`)
      return undefined
    },
    timeoutMs
  )
}

/** A port of loopback that nobody uses at this moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.on('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      probe.close(() => resolve(port))
    })
  })
}

function keep(text: string): string {
  return text.length > KEPT_OUTPUT_CHARS ? text.slice(-KEPT_OUTPUT_CHARS) : text
}

function killAllOnExit(): void {
  if (hooked) return
  hooked = true
  process.on('exit', killAll)
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.once(name, () => {
      killAll()
      process.exit(1)
    })
  }
}

function killAll(): void {
  for (const child of living) child.kill('SIGKILL')
}
