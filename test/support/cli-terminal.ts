/** The command as a person runs it: the real program against the real API of a mesh in memory. */
import { mkdtempSync, rmSync } from 'node:fs'
import type { Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAdaptorServer } from '@hono/node-server'
import type { Io, Screen } from '../../cli/io.ts'
import { runCommand } from '../../cli/program.ts'
import type { CliNode } from './cli-mesh.ts'

export interface Run {
  readonly code: number
  readonly out: string
  readonly err: string
}

export interface RunOptions {
  /** What a person at the terminal answers; absent: nobody is there. */
  readonly answer?: string
  /** Called with what presses ctrl-C, once the command listens for it. */
  readonly onInterruptible?: (interrupt: () => void) => void
  /** Stdout as a terminal; absent: a pipe. */
  readonly screen?: Screen
  readonly env?: Readonly<Record<string, string>>
  /** Called with each output. */
  readonly onOutput?: (text: string) => void
}

/** A control socket for one node of the mesh, and commands that use it. */
export class Terminal {
  readonly dir = mkdtempSync(join(tmpdir(), 'shoal-cli-'))
  readonly #server: Server

  private constructor(node: Pick<CliNode, 'app'>) {
    this.#server = createAdaptorServer({
      fetch: node.app.fetch,
      overrideGlobalObjects: false
    }) as Server
  }

  static async open(node: Pick<CliNode, 'app'>): Promise<Terminal> {
    const terminal = new Terminal(node)
    const socket = join(terminal.dir, 'control.sock')
    await new Promise<void>(resolve => void terminal.#server.listen(socket, resolve))
    return terminal
  }

  async run(words: readonly string[], options: RunOptions = {}): Promise<Run> {
    let out = ''
    let err = ''
    const io: Io = {
      out: text => {
        out += `${text}\n`
        options.onOutput?.(text)
      },
      err: text => {
        err += text
      },
      env: { ...options.env, SHOAL_DIR: this.dir },
      isInteractive: options.answer !== undefined,
      canDraw: false,
      ask: async question => {
        err += question
        return options.answer ?? ''
      },
      onInterrupt: task => {
        options.onInterruptible?.(task)
        return () => undefined
      },
      ...(options.screen === undefined ? {} : { screen: options.screen })
    }
    const code = await runCommand(io, words, '1.2.3')
    return { code, out, err }
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
    rmSync(this.dir, { recursive: true })
  }
}
