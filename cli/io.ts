/** The terminal as the commands see it, so that tests can run them in their own process. */
import { once } from 'node:events'
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'

export interface Io {
  /** One line, or several, to stdout. */
  readonly out: (text: string) => void
  /** The same to stderr: words for people, progress, questions. */
  readonly err: (text: string) => void
  readonly env: Readonly<Record<string, string | undefined>>
  readonly isInteractive: boolean
  /** True if stderr may be drawn over. */
  readonly canDraw: boolean
  /** Asks on the terminal. Only if `isInteractive`. */
  readonly ask: (question: string, options?: { hidden?: boolean }) => Promise<string>
  /** Ctrl-C calls `task` instead of ending the command, until the function that it gives is called. */
  readonly onInterrupt: (task: () => void) => () => void
  /** Resolves when stdout has passed on what it was given; absent: it keeps up. */
  readonly drained?: () => Promise<void>
  /** Stdout as a screen; absent if it is none. */
  readonly screen?: Screen
}

/** A terminal that can be drawn over, and its keys. */
export interface Screen {
  readonly size: () => { readonly columns: number; readonly rows: number }
  /** Raw, nothing added. */
  readonly write: (text: string) => void
  /** Each gives the function that ends it. */
  readonly onResize: (task: () => void) => () => void
  /** Keys as they are pressed, ctrl-C included; never called if stdin is no terminal. */
  readonly onKey: (task: (key: string) => void) => () => void
  /** The process is asked to end, by a signal that is not ctrl-C. */
  readonly onEnd: (task: () => void) => () => void
}

export const terminal: Io = {
  out: text => void process.stdout.write(text.endsWith('\n') ? text : `${text}\n`),
  err: text => void process.stderr.write(text),
  env: process.env,
  isInteractive: process.stdin.isTTY === true && process.stderr.isTTY === true,
  canDraw: process.stderr.isTTY === true,
  ask,
  onInterrupt: task => {
    process.once('SIGINT', task)
    return () => void process.off('SIGINT', task)
  },
  drained: async () => {
    if (process.stdout.writableNeedDrain) await once(process.stdout, 'drain')
  },
  ...(process.stdout.isTTY && process.env.TERM !== 'dumb' ? { screen: stdoutScreen() } : {})
}

function stdoutScreen(): Screen {
  const { stdin, stdout } = process
  return {
    size: () => ({ columns: stdout.columns, rows: stdout.rows }),
    write: text => void stdout.write(text),
    onResize: task => {
      stdout.on('resize', task)
      return () => void stdout.off('resize', task)
    },
    onKey: task => {
      if (!stdin.isTTY) return () => undefined
      const pressed = (bytes: Buffer): void => task(bytes.toString('utf8'))
      stdin.setRawMode(true)
      stdin.on('data', pressed).resume()
      return () => {
        stdin.off('data', pressed).pause()
        stdin.setRawMode(false)
      }
    },
    onEnd: task => {
      const signals = ['SIGTERM', 'SIGHUP'] as const
      for (const signal of signals) process.on(signal, task)
      return () => {
        for (const signal of signals) process.off(signal, task)
      }
    }
  }
}

async function ask(question: string, options: { hidden?: boolean } = {}): Promise<string> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  process.stderr.write(question)
  const lines = createInterface({
    input: process.stdin,
    output: options.hidden === true ? nowhere : process.stderr,
    terminal: true
  })
  try {
    return await lines.question('')
  } finally {
    lines.close()
    if (options.hidden === true) process.stderr.write('\n')
  }
}

/** True if the person says yes. */
export async function confirm(io: Io, question: string): Promise<boolean> {
  const answer = await io.ask(`${question} [y/N] `)
  return /^y(es)?$/i.test(answer.trim())
}
