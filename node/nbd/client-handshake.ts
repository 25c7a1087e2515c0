/**
 * The client's side of the handshake: fixed newstyle, TLS if wanted, structured replies and
 * base:allocation where the server has them, then GO; or LIST.
 *
 * Invariant: whatever a server sends, this ends: with what was agreed, with a fault, or with the
 * caller's time-out. Answers are bounded in number and length.
 */
import { ShoalError } from '../../protocols/fault.ts'
import * as nbd from '../../protocols/nbd/constants.ts'
import {
  decodeGreeting,
  decodeOptionReplyHeader,
  encodeClientFlags,
  encodeOption,
  GREETING_BYTES,
  OPTION_REPLY_HEADER_BYTES
} from '../../protocols/nbd/handshake.ts'
import {
  decodeInfoReply,
  decodeMetaContextReply,
  decodeServerReply,
  encodeInfoRequest,
  encodeMetaContextRequest
} from '../../protocols/nbd/options.ts'
import { NBD_CLIENT_OPTION_REPLIES } from '../limits.ts'
import { type ClientSocket, type NbdClientTls, Pull } from './client-socket.ts'

export interface NbdExport {
  readonly name: string
  readonly description: string
}

export interface NbdTerms {
  readonly sizeBytes: number
  readonly flags: number
  readonly preferredBlockBytes: number
  readonly maximumBlockBytes: number
  readonly structured: boolean
  /** Id of base:allocation, if the server has it. */
  readonly allocation: number | undefined
}

export interface HandshakeOptions {
  readonly tls: NbdClientTls | undefined
  /** False: simple replies only, as old clients have it. */
  readonly structured: boolean
}

interface OptionReply {
  readonly type: number
  readonly body: Buffer
}

export class ClientHandshake {
  readonly #socket: ClientSocket
  readonly #pull = new Pull()

  constructor(socket: ClientSocket) {
    this.#socket = socket
    this.#pull.attach(socket)
  }

  async open(exportName: string, options: HandshakeOptions): Promise<NbdTerms> {
    await this.#greet(options.tls)
    let structured = false
    let allocation: number | undefined
    if (options.structured) {
      structured = !isRefusal(lastOf(await this.#ask(nbd.NBD_OPT_STRUCTURED_REPLY)))
      if (structured) allocation = await this.#allocation(exportName)
    }
    return { ...(await this.#go(exportName)), structured, allocation }
  }

  async list(tls: NbdClientTls | undefined): Promise<NbdExport[]> {
    await this.#greet(tls)
    const replies = await this.#ask(nbd.NBD_OPT_LIST)
    refuseRefusal(lastOf(replies), 'list the exports')
    const exports: NbdExport[] = []
    for (const { type, body } of replies) {
      if (type !== nbd.NBD_REP_SERVER) continue
      const found = decodeServerReply(body)
      if (found === undefined) throw nonsense('an export without a name')
      exports.push(found)
    }
    this.#socket.write(encodeOption(nbd.NBD_OPT_ABORT))
    return exports
  }

  async #greet(tls: NbdClientTls | undefined): Promise<void> {
    const flags = decodeGreeting(await this.#pull.take(GREETING_BYTES))
    if (flags === undefined || (flags & nbd.NBD_FLAG_FIXED_NEWSTYLE) === 0) {
      throw nonsense('this is no server of the fixed newstyle NBD protocol')
    }
    const zeroes = flags & nbd.NBD_FLAG_NO_ZEROES ? nbd.NBD_FLAG_C_NO_ZEROES : 0
    this.#socket.write(encodeClientFlags(nbd.NBD_FLAG_C_FIXED_NEWSTYLE | zeroes))
    if (tls === undefined) return
    refuseRefusal(lastOf(await this.#ask(nbd.NBD_OPT_STARTTLS)), 'start TLS')
    await this.#socket.secure(tls)
  }

  async #allocation(name: string): Promise<number | undefined> {
    const queries = [nbd.NBD_ALLOCATION_CONTEXT]
    const body = encodeMetaContextRequest({ name, queries })
    for (const reply of await this.#ask(nbd.NBD_OPT_SET_META_CONTEXT, body)) {
      if (reply.type !== nbd.NBD_REP_META_CONTEXT) continue
      const context = decodeMetaContextReply(reply.body)
      if (context === undefined) throw nonsense('a malformed meta context')
      if (context.name === nbd.NBD_ALLOCATION_CONTEXT) return context.id
    }
    return undefined
  }

  async #go(name: string): Promise<Omit<NbdTerms, 'structured' | 'allocation'>> {
    const body = encodeInfoRequest({ name, wanted: [nbd.NBD_INFO_BLOCK_SIZE] })
    const replies = await this.#ask(nbd.NBD_OPT_GO, body)
    refuseRefusal(lastOf(replies), `open the export '${name}'`)
    let size: { sizeBytes: number; flags: number } | undefined
    let blocks = { preferredBytes: 4096, maximumBytes: 32 * 1024 * 1024 }
    for (const reply of replies) {
      if (reply.type !== nbd.NBD_REP_INFO) continue
      const info = decodeInfoReply(reply.body)
      if (info === undefined) throw nonsense('malformed information')
      if (info.type === 'export') size = info
      if (info.type === 'block-size') blocks = info
    }
    if (size === undefined) throw nonsense('no size of the export')
    return {
      sizeBytes: size.sizeBytes,
      flags: size.flags,
      preferredBlockBytes: blocks.preferredBytes,
      maximumBlockBytes: blocks.maximumBytes
    }
  }

  /** All answers to one option; the last is the ACK or the refusal. */
  async #ask(option: number, body?: Buffer): Promise<OptionReply[]> {
    this.#socket.write(encodeOption(option, body))
    const replies: OptionReply[] = []
    while (replies.length < NBD_CLIENT_OPTION_REPLIES) {
      const header = decodeOptionReplyHeader(await this.#pull.take(OPTION_REPLY_HEADER_BYTES))
      if (header === undefined || header.option !== option) {
        throw nonsense('no answer to the option that was asked')
      }
      const reply = { type: header.type, body: await this.#pull.take(header.lengthBytes) }
      replies.push(reply)
      if (reply.type === nbd.NBD_REP_ACK || isRefusal(reply)) return replies
    }
    throw nonsense('answers without end')
  }
}

function lastOf(replies: readonly OptionReply[]): OptionReply {
  return replies.at(-1) ?? { type: nbd.NBD_REP_ERR_INVALID, body: Buffer.alloc(0) }
}

function isRefusal({ type }: OptionReply): boolean {
  return type >= nbd.NBD_REP_FLAG_ERROR
}

function refuseRefusal(reply: OptionReply, doing: string): void {
  if (!isRefusal(reply)) return
  const words = reply.body.toString('utf8') || `error ${reply.type - nbd.NBD_REP_FLAG_ERROR}`
  const message = `the NBD server refused to ${doing}: ${words}`
  if (reply.type === nbd.NBD_REP_ERR_UNKNOWN) {
    throw new ShoalError({ code: 'NOT_FOUND', what: 'NBD export' }, message)
  }
  throw new ShoalError({ code: 'NBD_ERROR', error: 'REFUSED' }, message)
}

function nonsense(why: string): ShoalError {
  const message = `the NBD server sent nonsense: ${why}`
  return new ShoalError({ code: 'BAD_MESSAGE', protocol: 'nbd' }, message)
}
