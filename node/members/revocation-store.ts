/**
 * The revocations that this node knows: DIR/revocations, CBOR of the signed originals, replaced
 * whole. Apart from the map, so that a lost or rewritten document lets nobody back in.
 *
 * Invariants: only what an admin of this mesh signed is ever stored; the set only grows; a
 * revocation is in force as soon as it was verified, and durable when `add` resolves.
 */
import { join } from 'node:path'
import { z } from 'zod'
import type { MeshId } from '../../protocols/admission/keys.ts'
import type { Revocation, Revocations } from '../../protocols/admission/revocation.ts'
import { addRevocation, readRevocation } from '../../protocols/admission/revocation.ts'
import { decodeCbor, encodeCbor } from '../../protocols/cbor.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { MAX_REVOCATIONS } from '../limits.ts'
import { readFileIfAny, writeFileAtomic } from './files.ts'
import { toBase64 } from './identity.ts'

const REVOCATIONS_FILE = 'revocations'
const fileSchema = z.object({ format: z.literal(1), signed: z.array(z.instanceof(Uint8Array)) })

export class RevocationStore {
  readonly #path: string
  readonly #mesh: MeshId
  readonly #inForce = new Map<NodeId, number>()
  readonly #signed = new Map<string, { peer: NodeId; bytes: Uint8Array }>()
  #saving: Promise<void> = Promise.resolve()

  private constructor(path: string, mesh: MeshId) {
    this.#path = path
    this.#mesh = mesh
  }

  /** Throws ShoalError DATA_DIR damaged: better no node than one that forgot who is revoked. */
  static async load(dir: string, mesh: MeshId): Promise<RevocationStore> {
    const store = new RevocationStore(join(dir, REVOCATIONS_FILE), mesh)
    const bytes = await readFileIfAny(store.#path)
    if (bytes === undefined) return store
    const parsed = fileSchema.safeParse(decodeCbor(bytes)?.value)
    const isWhole = parsed.success && parsed.data.signed.every(signed => store.#take(signed))
    if (isWhole) return store
    const words = `${dir}: ${REVOCATIONS_FILE} cannot be read: copy it from another node`
    throw new ShoalError({ code: 'DATA_DIR', dir, problem: 'damaged' }, words)
  }

  get inForce(): Revocations {
    return this.#inForce
  }

  /** Every signed original, by peer; of several for one peer, the first. */
  signed(): Map<NodeId, Uint8Array> {
    const byPeer = new Map<NodeId, Uint8Array>()
    for (const { peer, bytes } of this.#signed.values()) {
      if (!byPeer.has(peer)) byPeer.set(peer, bytes)
    }
    return byPeer
  }

  /** In force at once; resolves when durable. Undefined: known already, or nobody's word. */
  add(bytes: Uint8Array): { revocation: Revocation; durable: Promise<void> } | undefined {
    if (this.#signed.has(toBase64(bytes)) || this.#signed.size >= MAX_REVOCATIONS) return undefined
    const revocation = this.#take(bytes)
    return revocation === undefined ? undefined : { revocation, durable: this.#save() }
  }

  #take(bytes: Uint8Array): Revocation | undefined {
    const revocation = readRevocation(bytes, this.#mesh)
    if (revocation === undefined) return undefined
    this.#signed.set(toBase64(bytes), { peer: revocation.peer, bytes })
    addRevocation(this.#inForce, revocation)
    return revocation
  }

  #save(): Promise<void> {
    const write = async (): Promise<void> => {
      const signed = [...this.#signed.values()].map(entry => entry.bytes)
      await writeFileAtomic(this.#path, encodeCbor({ format: 1, signed }))
    }
    this.#saving = this.#saving.then(write, write)
    return this.#saving
  }
}
