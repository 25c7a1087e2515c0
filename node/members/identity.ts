/**
 * Who this node is: DIR/identity.json (0600, replaced whole).
 *
 *   { format, seed, mesh, chain, host, capacityBytes, listen, announce }      bytes in base64
 *
 * Invariants: the certificate in `chain` is this key's and leads up to `mesh`, checked at every
 * load, so that a mixed-up or edited file is found before anything is served; name, region and
 * role are the certificate's, written nowhere else. The mesh's private key is never here.
 */
import { join } from 'node:path'
import { z } from 'zod'
import type { Certificate, Chain, Role } from '../../protocols/admission/certificate.ts'
import { readChain } from '../../protocols/admission/certificate.ts'
import type { MeshId, SigningKey } from '../../protocols/admission/keys.ts'
import { isMeshId, KEY_BYTES, nodeIdOf, signingKey } from '../../protocols/admission/keys.ts'
import { MAX_CHAIN_CERTIFICATES } from '../../protocols/admission/limits.ts'
import type { KnownPeer } from '../../protocols/admission/messages.ts'
import { knownPeerSchema } from '../../protocols/admission/messages.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { isName } from '../../protocols/ids.ts'
import { MAX_ADDRESS_CHARS, MAX_ADDRESSES } from '../../protocols/limits.ts'
import { MAX_KNOWN_PEERS } from '../limits.ts'
import { readFileIfAny, writeFileAtomic } from './files.ts'

export interface Identity {
  readonly id: NodeId
  /** The Ed25519 seed: 32 bytes, secret. */
  readonly seed: Uint8Array
  readonly key: SigningKey
  readonly mesh: MeshId
  readonly chain: Chain
  /** The first of `chain`. */
  readonly certificate: Certificate
  readonly name: string
  readonly region: string
  readonly role: Role
  readonly host: string
  /** 0: a gateway or witness that holds no shards. */
  readonly capacityBytes: number
  readonly listen: readonly string[]
  readonly announce: readonly string[]
}

/** What a person chose for this node, beside what its certificate says. */
export interface Settings {
  readonly host: string
  readonly capacityBytes: number
  readonly listen: readonly string[]
  readonly announce: readonly string[]
}

const FORMAT = 1
const IDENTITY_FILE = 'identity.json'
const PEERS_FILE = 'peers.json'

const addresses = z.array(z.string().max(MAX_ADDRESS_CHARS)).max(MAX_ADDRESSES)
const fileSchema = z.object({
  format: z.literal(FORMAT),
  seed: z.base64(),
  mesh: z.custom<MeshId>(isMeshId),
  chain: z.array(z.base64()).min(1).max(MAX_CHAIN_CERTIFICATES),
  host: z.custom<string>(isName),
  capacityBytes: z.number().int().min(0),
  listen: addresses,
  announce: addresses
})
const peersSchema = z.array(knownPeerSchema).max(MAX_KNOWN_PEERS)

/** Throws ShoalError BAD_SIGNATURE if the chain is not this key's in this mesh. */
export function makeIdentity(
  seed: Uint8Array,
  mesh: MeshId,
  chain: Chain,
  settings: Settings
): Identity {
  const key = signingKey(seed)
  const id = nodeIdOf(key.publicKey)
  const read = readChain(chain, mesh)
  const certificate = typeof read === 'string' ? undefined : read[0]
  if (certificate?.peer !== id) {
    throw new ShoalError({ code: 'BAD_SIGNATURE' }, 'the certificate is not one of this node')
  }
  const { name, region, role } = certificate
  const { host, capacityBytes, listen, announce } = settings
  const chosen = { host, capacityBytes, listen, announce }
  return { id, seed, key, mesh, chain, certificate, name, region, role, ...chosen }
}

export async function hasIdentity(dir: string): Promise<boolean> {
  return (await readFileIfAny(join(dir, IDENTITY_FILE))) !== undefined
}

/** Throws ShoalError DATA_DIR: absent, damaged or format. */
export async function loadIdentity(dir: string): Promise<Identity> {
  const bytes = await readFileIfAny(join(dir, IDENTITY_FILE))
  if (bytes === undefined) throw problem(dir, 'absent', 'run `shoal init` or `shoal join` first')
  try {
    const file = JSON.parse(bytes.toString('utf8')) as { format?: unknown }
    if (typeof file.format === 'number' && file.format > FORMAT) {
      throw problem(dir, 'format', 'a newer Shoal wrote identity.json: update this one')
    }
    const { seed, mesh, chain, ...settings } = fileSchema.parse(file)
    const key = fromBase64(seed)
    if (key.length !== KEY_BYTES) throw new Error('the key has a wrong length')
    return makeIdentity(key, mesh, chain.map(fromBase64), settings)
  } catch (cause) {
    if (cause instanceof ShoalError && cause.fault.code === 'DATA_DIR') throw cause
    throw problem(dir, 'damaged', 'identity.json cannot be read: restore it from a backup', cause)
  }
}

export async function saveIdentity(dir: string, identity: Identity): Promise<void> {
  const { seed, mesh, chain, host, capacityBytes, listen, announce } = identity
  const file = {
    format: FORMAT,
    seed: toBase64(seed),
    mesh,
    chain: chain.map(toBase64),
    host,
    capacityBytes,
    listen,
    announce
  }
  await writeFileAtomic(join(dir, IDENTITY_FILE), `${JSON.stringify(file, null, 2)}\n`)
}

/** Members to dial before the map has told anything: from the join, refreshed by the daemon. */
export async function loadPeers(dir: string): Promise<KnownPeer[]> {
  const bytes = await readFileIfAny(join(dir, PEERS_FILE))
  if (bytes === undefined) return []
  try {
    return peersSchema.parse(JSON.parse(bytes.toString('utf8')))
  } catch {
    // Only a hint: without it the node is found by those who know it.
    return []
  }
}

export async function savePeers(dir: string, peers: readonly KnownPeer[]): Promise<void> {
  const text = JSON.stringify(peers.slice(0, MAX_KNOWN_PEERS), null, 2)
  await writeFileAtomic(join(dir, PEERS_FILE), `${text}\n`)
}

export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')
}

export function fromBase64(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'base64'))
}

function problem(
  dir: string,
  what: 'absent' | 'damaged' | 'format',
  words: string,
  cause?: unknown
): ShoalError {
  return new ShoalError({ code: 'DATA_DIR', dir, problem: what }, `${dir}: ${words}`, { cause })
}
