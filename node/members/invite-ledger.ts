/**
 * The issuer's ledger of used invites: DIR/used-invites.json, replaced whole.
 *
 * Invariants: an entry is durable before the certificate that it stands for leaves this node, so
 * no crash lets an invite be redeemed twice; the same peer gets the same certificate again when its
 * answer was lost. Entries go when the invite has been expired for a while: then it is refused as
 * expired.
 */
import { join } from 'node:path'
import { z } from 'zod'
import type { Chain } from '../../protocols/admission/certificate.ts'
import { DAY_MS } from '../../protocols/admission/limits.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { isName, isNodeId } from '../../protocols/ids.ts'
import { MAX_USED_INVITES } from '../limits.ts'
import { readFileIfAny, writeFileAtomic } from './files.ts'
import { fromBase64, toBase64 } from './identity.ts'

const LEDGER_FILE = 'used-invites.json'
const KEPT_AFTER_EXPIRY_MS = 7 * DAY_MS

export interface UsedInvite {
  /** inviteMark of the invite. */
  readonly mark: string
  readonly peer: NodeId
  readonly name: string
  readonly region: string
  readonly chain: Chain
  /** Of the invite; wall ms. */
  readonly expiresAt: number
}

const ledgerSchema = z.object({
  format: z.literal(1),
  used: z
    .array(
      z.object({
        mark: z.string().regex(/^[0-9a-f]{32}$/),
        peer: z.custom<NodeId>(isNodeId),
        name: z.custom<string>(isName),
        region: z.custom<string>(isName),
        chain: z.array(z.base64()),
        expiresAt: z.number()
      })
    )
    .max(MAX_USED_INVITES)
})

export class InviteLedger {
  readonly #path: string
  readonly #used: Map<string, UsedInvite>

  private constructor(path: string, used: Map<string, UsedInvite>) {
    this.#path = path
    this.#used = used
  }

  /** Throws ShoalError DATA_DIR damaged: an unreadable ledger must not let invites be reused. */
  static async load(dir: string): Promise<InviteLedger> {
    const path = join(dir, LEDGER_FILE)
    const bytes = await readFileIfAny(path)
    if (bytes === undefined) return new InviteLedger(path, new Map())
    try {
      const { used } = ledgerSchema.parse(JSON.parse(bytes.toString('utf8')))
      const entries = used.map(entry => ({ ...entry, chain: entry.chain.map(fromBase64) }))
      return new InviteLedger(path, new Map(entries.map(entry => [entry.mark, entry])))
    } catch (cause) {
      const words = `${dir}: ${LEDGER_FILE} cannot be read: remove it only if no invite is open`
      throw new ShoalError({ code: 'DATA_DIR', dir, problem: 'damaged' }, words, { cause })
    }
  }

  find(mark: string): UsedInvite | undefined {
    return this.#used.get(mark)
  }

  entries(): Iterable<UsedInvite> {
    return this.#used.values()
  }

  /** Durable when it resolves; on failure nothing is recorded. */
  async record(entry: UsedInvite, nowMs: number): Promise<void> {
    for (const old of this.#used.values()) {
      if (old.expiresAt + KEPT_AFTER_EXPIRY_MS < nowMs) this.#used.delete(old.mark)
    }
    if (this.#used.size >= MAX_USED_INVITES) {
      throw new ShoalError({ code: 'LIMIT', limit: 'MAX_USED_INVITES' }, 'too many invites in use')
    }
    this.#used.set(entry.mark, entry)
    try {
      await this.#save()
    } catch (error) {
      this.#used.delete(entry.mark)
      throw error
    }
  }

  async #save(): Promise<void> {
    const used = [...this.#used.values()].map(entry => ({
      ...entry,
      chain: entry.chain.map(toBase64)
    }))
    await writeFileAtomic(this.#path, `${JSON.stringify({ format: 1, used }, null, 2)}\n`)
  }
}
