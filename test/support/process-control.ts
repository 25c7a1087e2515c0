/**
 * The control API of a running daemon, as any program may use it (docs/control-api.md). Tests poll
 * with it, because a process per question would be slow; what people do goes through the CLI.
 */
import { request } from 'node:http'
import { join } from 'node:path'

const TIMEOUT_MS = 15_000

export interface StatusNode {
  readonly id: string
  readonly name: string
  /** To the daemon that says so; true of itself. */
  readonly connected: boolean
}

export interface Status {
  readonly problems: readonly string[]
  readonly self: { readonly id: string; readonly pid: number; readonly addresses: string[] }
  readonly nodes: readonly StatusNode[]
}

/** The status, or undefined while the daemon does not answer. */
export async function statusOf(dir: string): Promise<Status | undefined> {
  try {
    return JSON.parse(await get(join(dir, 'control.sock'), '/v1/status')) as Status
  } catch {
    return undefined
  }
}

/** Names of the nodes that this daemon is or is connected to. */
export async function connectedNames(dir: string): Promise<string[]> {
  const status = await statusOf(dir)
  return (status?.nodes ?? []).filter(node => node.connected).map(node => node.name)
}

function get(socketPath: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, timeout: TIMEOUT_MS }, answer => {
      let text = ''
      answer.setEncoding('utf8').on('data', piece => {
        text += piece
      })
      answer.on('end', () => (answer.statusCode === 200 ? resolve(text) : reject(new Error(text))))
      answer.on('error', reject)
    })
    asked.on('timeout', () => asked.destroy(new Error('no answer')))
    asked.on('error', reject)
    asked.end()
  })
}
