/**
 * One daemon of the demo: `shoal up` in a process of its own.
 *
 * Invariants: the child's stdin is a pipe from here that nobody else holds: whatever ends this
 * process (kill -9 too) closes it, and the child stops; ctrl-C in the terminal does not reach the
 * child, so that this process stops its children in the right order.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url))
const STOP_LIMIT_MS = 15_000
const LOG_TAIL_CHARS = 2000
const NO_PORT = 0

export interface Place {
  readonly name: string
  readonly region: string
  readonly capacity: string
  readonly dir: string
}

export interface Running {
  readonly place: Place
  readonly pid: number
  readonly socket: string
  /** The TCP port it listens on, or 0 if that is unknown. */
  readonly port: number
  /** Resolves, with words, when the process has ended. */
  readonly ended: Promise<string>
  /** Lets it flush and stop; kills it if that takes too long. */
  readonly stop: () => Promise<void>
}

/** What `shoal up --json` prints first: that it is ready, or why not. */
interface FirstLine {
  readonly addresses?: readonly string[]
  readonly error?: { readonly code: string; readonly message: string }
}

export class NotStarted extends Error {
  override readonly name = 'NotStarted'
  readonly code: string | undefined

  constructor(message: string, code: string | undefined) {
    super(message)
    this.code = code
  }
}

/** How a daemon is started. */
export interface Launch {
  readonly script: string
  /** Before the directory and where to listen. */
  readonly words: readonly string[]
}

const UP: Launch = { script: MAIN, words: ['up', '--json'] }

/** Runs one command of the real CLI; its JSON document. Throws with its words. */
export async function runShoal<T>(words: readonly string[]): Promise<T> {
  return JSON.parse(await runShoalText([...words, '--json'])) as T
}

/** Runs one command of the real CLI; what it printed. Throws with its words. */
export async function runShoalText(words: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [MAIN, ...words], {
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const [stdout, stderr, code] = await Promise.all([
    textOf(child.stdout),
    textOf(child.stderr),
    new Promise<number | null>(resolve => child.on('close', resolve))
  ])
  if (code !== 0) throw new Error(`shoal ${words[0] ?? ''}: ${stderr.trim()}`)
  return stdout
}

/** Starts the daemon of `place`; resolves when it serves. Throws with the end of its log. */
export async function startNode(place: Place, port: number, launch = UP): Promise<Running> {
  const logFile = `${place.dir}.log`
  const log = openSync(logFile, 'a', 0o600)
  const listen = `/ip4/127.0.0.1/tcp/${port}`
  const words = [...launch.words, '--dir', place.dir, '--listen', listen, '--until-stdin-closes']
  const child = spawn(process.execPath, [launch.script, ...words], {
    stdio: ['pipe', 'pipe', log],
    detached: true
  })
  closeSync(log)
  // A child that is gone is found out by `ended`; a broken pipe says nothing more.
  child.stdin?.on('error', () => undefined)
  const ended = new Promise<string>(resolve => {
    child.on('error', error => resolve(error.message))
    child.on('exit', (code, signal) => resolve(signal ?? `exit code ${code}`))
  })
  const line = await Promise.race([firstLine(child), ended.then(() => undefined)])
  const { addresses, error } = line === undefined ? {} : (JSON.parse(line) as FirstLine)
  if (addresses === undefined || child.pid === undefined) {
    await stop(child, ended)
    const why = error?.message ?? `the end of its log is:\n${tail(logFile)}`
    throw new NotStarted(`node ${place.name} did not start: ${why}`, error?.code)
  }
  return {
    place,
    pid: child.pid,
    socket: join(place.dir, 'control.sock'),
    port: portOf(addresses),
    ended,
    stop: () => stop(child, ended)
  }
}

async function stop(child: ChildProcess, ended: Promise<string>): Promise<void> {
  child.stdin?.end()
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS)
  await ended
  clearTimeout(timer)
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise(resolve => {
    let text = ''
    child.stdout?.setEncoding('utf8').on('data', (part: string) => {
      text += part
      const end = text.indexOf('\n')
      if (end >= 0) resolve(text.slice(0, end))
    })
  })
}

function portOf(addresses: readonly string[]): number {
  for (const address of addresses) {
    const port = /\/tcp\/([0-9]+)/.exec(address)?.[1]
    if (port !== undefined) return Number(port)
  }
  return NO_PORT
}

function tail(file: string): string {
  return readFileSync(file, 'utf8').slice(-LOG_TAIL_CHARS).trimEnd()
}

async function textOf(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}
