/**
 * Who may pass: what the host asks of membership. The host carries the messages and closes what is
 * refused; a gate decides, and knows keys, certificates and revocations (node/members).
 */
import type { Answer, Hello } from '../../protocols/admission/messages.ts'
import type { NodeId } from '../../protocols/ids.ts'

export type Standing = 'member' | 'revoked' | 'unknown'

export interface Gate {
  /** What we say when we have dialled `peer`, whose identity is proven. */
  hello: (peer: NodeId) => Hello
  /** Listener: `welcome` admits the dialler; everything else ends the connection once read. */
  answer: (peer: NodeId, hello: Hello) => Promise<Answer>
  /** Dialler: returns if `peer` is admitted; throws otherwise, which ends the connection. */
  conclude: (peer: NodeId, answer: Answer) => Promise<void>
  /** `member`: its certificate was verified here. Asked again for every connection that opens. */
  standing: (peer: NodeId) => Standing
}
