/**
 * Ed25519 keys and the two identities that are made of them. Both names carry the public key, so
 * that a signature can be checked with nothing but the name of who is said to have made it.
 *
 *   mesh id   z6Mk...    multibase base58btc of (0xed 0x01, 32 bytes of public key)
 *   node id   12D3Koo... base58btc of libp2p's identity multihash of the public key
 *
 * node:crypto signs and verifies Ed25519 synchronously and deterministically: no clock, no
 * randomness, so this stays a pure folder.
 */
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import { base58btc } from 'multiformats/bases/base58'
import { assert } from '../assert.ts'
import type { NodeId } from '../ids.ts'

declare const brand: unique symbol
/** The mesh's public key in its text form. */
export type MeshId = string & { readonly [brand]: 'MeshId' }

export const KEY_BYTES = 32
export const SIGNATURE_BYTES = 64

const PRIVATE_DER = Buffer.from('302e020100300506032b657004220420', 'hex')
const PUBLIC_DER = Buffer.from('302a300506032b6570032100', 'hex')
const MESH_PREFIX = Buffer.from('ed01', 'hex')
const NODE_PREFIX = Buffer.from('002408011220', 'hex')

export interface SigningKey {
  readonly publicKey: Uint8Array
  /** 64 bytes. */
  sign: (bytes: Uint8Array) => Uint8Array
}

/** The key pair of a 32-byte seed. */
export function signingKey(seed: Uint8Array): SigningKey {
  assert(seed.length === KEY_BYTES, 'an Ed25519 seed has 32 bytes')
  const key = createPrivateKey({
    key: Buffer.concat([PRIVATE_DER, seed]),
    format: 'der',
    type: 'pkcs8'
  })
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' })
  return {
    publicKey: new Uint8Array(spki.subarray(PUBLIC_DER.length)),
    sign: bytes => new Uint8Array(sign(null, bytes, key))
  }
}

/** False for any signature, message or key that does not fit; never throws. */
export function isSignature(
  publicKey: Uint8Array,
  bytes: Uint8Array,
  signature: Uint8Array
): boolean {
  if (publicKey.length !== KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false
  try {
    const key = createPublicKey({
      key: Buffer.concat([PUBLIC_DER, publicKey]),
      format: 'der',
      type: 'spki'
    })
    return verify(null, bytes, key, signature)
  } catch {
    return false
  }
}

export function meshIdOf(publicKey: Uint8Array): MeshId {
  assert(publicKey.length === KEY_BYTES, 'an Ed25519 public key has 32 bytes')
  return base58btc.encode(Buffer.concat([MESH_PREFIX, publicKey])) as MeshId
}

export function nodeIdOf(publicKey: Uint8Array): NodeId {
  assert(publicKey.length === KEY_BYTES, 'an Ed25519 public key has 32 bytes')
  return base58btc.baseEncode(Buffer.concat([NODE_PREFIX, publicKey])) as NodeId
}

export function isMeshId(value: unknown): value is MeshId {
  return typeof value === 'string' && publicKeyOf(value) !== undefined && value.startsWith('z')
}

/** The public key that a mesh id or the id of an Ed25519 node stands for. */
export function publicKeyOf(id: string): Uint8Array | undefined {
  if (id.length > 80) return undefined
  const isMesh = id.startsWith('z')
  const prefix = isMesh ? MESH_PREFIX : NODE_PREFIX
  try {
    const bytes = isMesh ? base58btc.decode(id) : base58btc.baseDecode(id)
    if (bytes.length !== prefix.length + KEY_BYTES) return undefined
    return prefix.equals(bytes.subarray(0, prefix.length)) ? bytes.slice(prefix.length) : undefined
  } catch {
    return undefined
  }
}
