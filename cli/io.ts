/** The terminal as the commands see it, so that tests can run them in their own process. */
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
