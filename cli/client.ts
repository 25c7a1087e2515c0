/**
 * The client of the local daemon: HTTP over the unix socket DIR/control.sock (docs/control-api.md).
 *
 * Invariant: every failure is a ShoalError or a Refusal with the daemon's own words; a daemon that
 * is not there is DAEMON_UNREACHABLE and names the command that starts it.
 */
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { messageOf, ShoalError } from '../protocols/fault.ts'

/** The daemon's refusal, as it said it. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly document: { readonly code: string; readonly message: string }

  constructor(document: { readonly code: string; readonly message: string }) {
    super(document.message)
    this.document = document
  }
}

interface Sent {
  readonly body?: object | Readable
  /** Of a body that is a stream. */
  readonly streamType?: string
  readonly signal?: AbortSignal
}

export class Client {
  readonly #dir: string
  readonly #socket: string

  constructor(dir: string) {
    this.#dir = dir
    this.#socket = join(dir, 'control.sock')
  }

  get<T>(path: string): Promise<T> {
    return this.#json<T>('GET', path)
  }

  post<T>(path: string, body: object = {}): Promise<T> {
    return this.#json<T>('POST', path, body)
  }

  put<T>(path: string, body: object): Promise<T> {
    return this.#json<T>('PUT', path, body)
  }

  patch<T>(path: string, body: object): Promise<T> {
    return this.#json<T>('PATCH', path, body)
  }

  delete<T>(path: string): Promise<T> {
    return this.#json<T>('DELETE', path)
  }

  /** Posts JSON, or the bytes of a stream, and yields the answer's lines as they come. */
  async *lines<T>(path: string, body: object | Readable): AsyncGenerator<T> {
    const response = await this.#send('POST', path, { body })
    if (response.statusCode !== 200) throw refusalOf(await textOf(response))
    let rest = ''
    response.setEncoding('utf8')
    for await (const text of response) {
      const lines = `${rest}${text}`.split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) yield parseLine<T>(line)
    }
  }

  /** The bytes of an answer as they come. An answer that is cut off is a fault, not a short file. */
  async *download(path: string, signal: AbortSignal): AsyncGenerator<Buffer> {
    const response = await this.#send('GET', path, { signal })
    if (response.statusCode !== 200) throw refusalOf(await textOf(response))
    try {
      for await (const bytes of response) yield Buffer.from(bytes)
    } catch (error) {
      throw new ShoalError({ code: 'CLOSED' }, 'the daemon hung up before it was done', {
        cause: error
      })
    } finally {
      response.destroy()
    }
  }

  /** Posts the bytes of a stream as a CSV. */
  async upload<T>(path: string, csv: Readable): Promise<T> {
    const response = await this.#send('POST', path, { body: csv, streamType: 'text/csv' })
    const text = await textOf(response)
    if ((response.statusCode ?? 500) >= 300) throw refusalOf(text)
    return JSON.parse(text) as T
  }

  async #json<T>(method: string, path: string, body?: object): Promise<T> {
    const response = await this.#send(method, path, body === undefined ? {} : { body })
    const text = await textOf(response)
    if ((response.statusCode ?? 500) >= 300) throw refusalOf(text)
    return JSON.parse(text) as T
  }

  #send(method: string, path: string, sent: Sent = {}): Promise<IncomingMessage> {
    const { body, streamType, ...options } = sent
    return new Promise((resolve, reject) => {
      const isStream = body instanceof Readable
      const type = isStream ? (streamType ?? 'application/octet-stream') : 'application/json'
      const headers = body === undefined ? {} : { 'content-type': type }
      const target = { socketPath: this.#socket, path, method, headers, agent: false }
      const outgoing = request({ ...target, ...options })
      outgoing.once('response', resolve)
      outgoing.once('error', error => reject(this.#unreachable(error)))
      if (isStream) void sendStream(body, outgoing)
      else outgoing.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }

  #unreachable(cause: Error): ShoalError {
    const code = 'code' in cause ? cause.code : undefined
    const socket = this.#socket
    const start = `start it with \`shoal up --dir ${this.#dir}\``
    const why: Record<string, string> = {
      ENOENT: `no daemon runs in ${this.#dir}: ${start}`,
      ECONNREFUSED: `no daemon runs in ${this.#dir}: ${start}`,
      ENOTDIR: `${this.#dir} is no directory: name another with --dir`,
      EACCES: `you may not use ${socket}: run this as the user that runs the daemon`,
      EPERM: `you may not use ${socket}: run this as the user that runs the daemon`
    }
    const words = why[String(code)] ?? `the daemon in ${this.#dir} hung up (${messageOf(cause)})`
    return new ShoalError({ code: 'DAEMON_UNREACHABLE', socket }, words, { cause })
  }
}

/** A volume or node in the path of a request. */
export function segment(nameOrId: string): string {
  return encodeURIComponent(nameOrId)
}

/** If the daemon stops listening it has answered: its words count, not the broken pipe. */
async function sendStream(body: Readable, outgoing: ClientRequest): Promise<void> {
  await pipeline(body, outgoing).catch(() => undefined)
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks).toString('utf8')
}

function refusalOf(text: string): Refusal {
  try {
    const { error } = JSON.parse(text) as { error?: { code?: unknown; message?: unknown } }
    if (typeof error?.code === 'string' && typeof error.message === 'string') {
      return new Refusal({ ...error, code: error.code, message: error.message })
    }
  } catch {
    // Not JSON: an answer that is not ours.
  }
  return new Refusal({ code: 'INTERNAL', message: `the daemon answered: ${text.slice(0, 200)}` })
}

function parseLine<T>(line: string): T {
  const document = JSON.parse(line) as T & { error?: unknown }
  if (document.error !== undefined) throw refusalOf(line)
  return document
}
