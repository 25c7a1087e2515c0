/**
 * The server's side of option haggling, as a machine: one option in, its answers and what follows
 * out. The driver (node/nbd/connection.ts) owns the socket, the exports and the time-out.
 *
 *   haggling --GO, EXPORT_NAME--> transmission
 *       |  \--STARTTLS--> (TLS handshake) --> haggling, everything forgotten
 *       \--ABORT, nonsense--> close
 *
 * Invariants: nothing but STARTTLS and ABORT is served before TLS where TLS is required, not even
 * the names of exports; a meta context that was set for one export is never used with another; an
 * export is found by its exact name alone (an empty name is no default: a client that reconnects
 * must never land on another volume).
 */
import { NBD_MAX_OPTIONS, NBD_MAX_PAYLOAD_BYTES } from '../limits.ts'
import * as nbd from './constants.ts'
import { encodeOldExport, encodeOptionReply } from './handshake.ts'
import {
  decodeInfoRequest,
  decodeMetaContextRequest,
  encodeInfoReply,
  encodeMetaContextReply,
  encodeServerReply
} from './options.ts'

/** The one context that we serve; its id on the wire. */
export const ALLOCATION_CONTEXT_ID = 1

export interface ExportInfo {
  readonly name: string
  readonly description: string
  readonly sizeBytes: number
  readonly flags: number
  readonly preferredBlockBytes: number
}

/** The exports as they are at this moment. */
export interface ExportList {
  find: (name: string) => ExportInfo | undefined
  all: () => readonly ExportInfo[]
}

export interface Negotiation {
  readonly tls: 'none' | 'required' | 'active'
  /** The client speaks fixed newstyle: it understands answers to options. */
  readonly fixed: boolean
  readonly zeroes: boolean
  readonly structured: boolean
  /** The export for which base:allocation was set. */
  readonly contextOf: string | undefined
  readonly options: number
}

export type Outcome =
  | { readonly next: 'option' }
  | { readonly next: 'tls' }
  | { readonly next: 'close'; readonly why: string }
  | {
      readonly next: 'transmission'
      readonly name: string
      readonly structured: boolean
      readonly allocation: boolean
    }

export interface NegotiationStep {
  readonly state: Negotiation
  readonly answers: readonly Buffer[]
  readonly outcome: Outcome
}

export function startNegotiation(tls: Negotiation['tls']): Negotiation {
  const nothing = { fixed: false, zeroes: true, structured: false, contextOf: undefined }
  return { tls, ...nothing, options: 0 }
}

/** What TLS leaves of the haggling before it: the flags of both sides, and no more. */
export function afterTls(state: Negotiation): Negotiation {
  return { ...state, tls: 'active', structured: false, contextOf: undefined }
}

/** Undefined: the client asks for something that does not exist, and is cut off. */
export function clientFlags(state: Negotiation, flags: number): Negotiation | undefined {
  const known = nbd.NBD_FLAG_C_FIXED_NEWSTYLE | nbd.NBD_FLAG_C_NO_ZEROES
  if ((flags & ~known) !== 0) return undefined
  const fixed = (flags & nbd.NBD_FLAG_C_FIXED_NEWSTYLE) !== 0
  return { ...state, fixed, zeroes: (flags & nbd.NBD_FLAG_C_NO_ZEROES) === 0 }
}

export function onOption(
  before: Negotiation,
  option: number,
  body: Buffer,
  exports: ExportList
): NegotiationStep {
  const state = { ...before, options: before.options + 1 }
  if (state.options > NBD_MAX_OPTIONS) return close(state, 'too many options')
  if (!state.fixed && option !== nbd.NBD_OPT_EXPORT_NAME) return close(state, 'not fixed newstyle')
  if (option === nbd.NBD_OPT_ABORT) {
    const answers = [encodeOptionReply(option, nbd.NBD_REP_ACK)]
    return { state, answers, outcome: { next: 'close', why: 'aborted by the client' } }
  }
  if (option === nbd.NBD_OPT_STARTTLS) return onStartTls(state, body)
  if (state.tls === 'required') {
    if (option === nbd.NBD_OPT_EXPORT_NAME) return close(state, 'TLS is required')
    return refuse(state, option, nbd.NBD_REP_ERR_TLS_REQD, 'this server requires TLS')
  }
  switch (option) {
    case nbd.NBD_OPT_EXPORT_NAME:
      return onExportName(state, body, exports)
    case nbd.NBD_OPT_LIST:
      return onList(state, body, exports)
    case nbd.NBD_OPT_INFO:
    case nbd.NBD_OPT_GO:
      return onInfo(state, option, body, exports)
    case nbd.NBD_OPT_STRUCTURED_REPLY:
      if (body.length > 0) return invalid(state, option)
      return accept({ ...state, structured: true }, option)
    case nbd.NBD_OPT_LIST_META_CONTEXT:
    case nbd.NBD_OPT_SET_META_CONTEXT:
      return onMetaContext(state, option, body, exports)
    default:
      return refuse(state, option, nbd.NBD_REP_ERR_UNSUP, 'this option is not served')
  }
}

function onStartTls(state: Negotiation, body: Buffer): NegotiationStep {
  const option = nbd.NBD_OPT_STARTTLS
  if (body.length > 0 || state.tls === 'active') return invalid(state, option)
  if (state.tls === 'none') {
    return refuse(state, option, nbd.NBD_REP_ERR_POLICY, 'this listener does not use TLS')
  }
  return { ...accept(state, option), outcome: { next: 'tls' } }
}

function onExportName(state: Negotiation, body: Buffer, exports: ExportList): NegotiationStep {
  const name = body.toString('utf8')
  const found = exports.find(name)
  if (found === undefined) return close(state, 'no such export')
  const answers = [encodeOldExport(found.sizeBytes, found.flags, state.zeroes)]
  return { state, answers, outcome: transmission(state, name) }
}

function onList(state: Negotiation, body: Buffer, exports: ExportList): NegotiationStep {
  const option = nbd.NBD_OPT_LIST
  if (body.length > 0) return invalid(state, option)
  return accept(
    state,
    option,
    exports.all().map(({ name, description }) => {
      return encodeOptionReply(option, nbd.NBD_REP_SERVER, encodeServerReply(name, description))
    })
  )
}

function onInfo(
  state: Negotiation,
  option: number,
  body: Buffer,
  exports: ExportList
): NegotiationStep {
  const request = decodeInfoRequest(body)
  if (request === undefined) return invalid(state, option)
  const found = exports.find(request.name)
  if (found === undefined) return unknown(state, option)
  const { sizeBytes, flags, name, description } = found
  const infos = [
    encodeInfoReply({ type: 'export', sizeBytes, flags }),
    encodeInfoReply({
      type: 'block-size',
      minimumBytes: 1,
      preferredBytes: found.preferredBlockBytes,
      maximumBytes: NBD_MAX_PAYLOAD_BYTES
    })
  ]
  if (request.wanted.includes(nbd.NBD_INFO_NAME)) {
    infos.push(encodeInfoReply({ type: 'name', text: name }))
  }
  if (request.wanted.includes(nbd.NBD_INFO_DESCRIPTION)) {
    infos.push(encodeInfoReply({ type: 'description', text: description }))
  }
  const answers = infos.map(info => encodeOptionReply(option, nbd.NBD_REP_INFO, info))
  const step = accept(state, option, answers)
  return option === nbd.NBD_OPT_GO ? { ...step, outcome: transmission(state, name) } : step
}

function onMetaContext(
  state: Negotiation,
  option: number,
  body: Buffer,
  exports: ExportList
): NegotiationStep {
  // Whatever becomes of it, a new SET voids the one before.
  const isSet = option === nbd.NBD_OPT_SET_META_CONTEXT
  const cleared = isSet ? { ...state, contextOf: undefined } : state
  const request = decodeMetaContextRequest(body)
  if (request === undefined || !state.structured) return invalid(cleared, option)
  if (exports.find(request.name) === undefined) return unknown(cleared, option)
  const asksAll = !isSet && (request.queries.length === 0 || request.queries.includes('base:'))
  if (!asksAll && !request.queries.includes(nbd.NBD_ALLOCATION_CONTEXT)) {
    return accept(cleared, option)
  }
  const context = encodeMetaContextReply(
    isSet ? ALLOCATION_CONTEXT_ID : 0,
    nbd.NBD_ALLOCATION_CONTEXT
  )
  const answers = [encodeOptionReply(option, nbd.NBD_REP_META_CONTEXT, context)]
  return accept(isSet ? { ...state, contextOf: request.name } : state, option, answers)
}

function transmission(state: Negotiation, name: string): Outcome {
  const allocation = state.structured && state.contextOf === name
  return { next: 'transmission', name, structured: state.structured, allocation }
}

function accept(state: Negotiation, option: number, before: Buffer[] = []): NegotiationStep {
  const answers = [...before, encodeOptionReply(option, nbd.NBD_REP_ACK)]
  return { state, answers, outcome: { next: 'option' } }
}

function refuse(state: Negotiation, option: number, type: number, why: string): NegotiationStep {
  const answers = [encodeOptionReply(option, type, Buffer.from(why, 'utf8'))]
  return { state, answers, outcome: { next: 'option' } }
}

function invalid(state: Negotiation, option: number): NegotiationStep {
  return refuse(state, option, nbd.NBD_REP_ERR_INVALID, 'this option is malformed or out of place')
}

function unknown(state: Negotiation, option: number): NegotiationStep {
  return refuse(state, option, nbd.NBD_REP_ERR_UNKNOWN, 'there is no such export')
}

function close(state: Negotiation, why: string): NegotiationStep {
  return { state, answers: [], outcome: { next: 'close', why } }
}
