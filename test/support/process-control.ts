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
    return await ask<Status>(dir, 'GET', '/v1/status')
  } catch {
    return undefined
  }
}

/** Names of the nodes that this daemon is or is connected to. */
export async function connectedNames(dir: string): Promise<string[]> {
  const status = await statusOf(dir)
  return (status?.nodes ?? []).filter(node => node.connected).map(node => node.name)
}

/** One request to the daemon; rejects unless it is answered with success. */
export function ask<T>(dir: string, method: 'GET' | 'POST', path: string, body?: object) {
  const socketPath = join(dir, 'control.sock')
  return new Promise<T>((resolve, reject) => {
    const asked = request({ socketPath, path, method, timeout: TIMEOUT_MS }, answer => {
      let text = ''
      answer.setEncoding('utf8').on('data', piece => {
        text += piece
      })
      answer.on('end', () => {
        const isGood = answer.statusCode !== undefined && answer.statusCode < 300
        if (isGood) resolve(JSON.parse(text) as T)
        else reject(new Error(text))
      })
      answer.on('error', reject)
    })
    if (body !== undefined) {
      const bytes = Buffer.from(JSON.stringify(body))
      asked.setHeader('content-type', 'application/json')
      asked.setHeader('content-length', bytes.length)
      asked.write(bytes)
    }
    asked.on('timeout', () => asked.destroy(new Error('no answer')))
    asked.on('error', reject)
    asked.end()
  })
}
