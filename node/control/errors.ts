/** The one error shape of the control API: { error: { code, message, ...fields of the fault } }. */
import type { Context } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { z } from 'zod'
import { InvariantError } from '../../protocols/assert.ts'
import { type FaultCode, isFault, messageOf, ShoalError } from '../../protocols/fault.ts'
import type { Log } from '../ports.ts'

export interface ErrorDocument {
  readonly error: {
    readonly code: string
    readonly message: string
    readonly [field: string]: unknown
  }
}

/** Anything that is not named here is 503: the weather, worth another try. */
const STATUS: Partial<Record<FaultCode, ContentfulStatusCode>> = {
  BAD_INPUT: 400,
  UNKNOWN_REGION: 400,
  OUT_OF_RANGE: 400,
  NOT_FOUND: 404,
  NAME_TAKEN: 409,
  NAME_AMBIGUOUS: 409,
  TOO_FEW_NODES: 409,
  NO_CAPACITY: 409,
  VOLUME_ATTACHED: 409,
  HOLDS_CHUNKS: 409,
  NEEDS_FORCE: 409,
  CONFLICT: 409,
  STALE_TOKEN: 409,
  FENCED: 409,
  NOT_ADMIN: 403,
  REVOKED: 403,
  NOT_A_MEMBER: 403,
  EXPIRED: 403,
  NO_SPACE: 507,
  IO_ERROR: 500
}

export function errorDocument(error: unknown): ErrorDocument {
  const message = messageOf(error)
  return { error: { ...(isFault(error) ? error.fault : { code: 'INTERNAL' }), message } }
}

export function answerError(context: Context, error: unknown, log: Log): Response {
  if (isFault(error)) return context.json(errorDocument(error), STATUS[error.fault.code] ?? 503)
  const kind = error instanceof InvariantError ? 'an invariant broke' : 'an unexpected error'
  log.error({ error: messageOf(error), stack: error instanceof Error ? error.stack : '' }, kind)
  return context.json(errorDocument(error), 500)
}

/** The decoded body, or BAD_INPUT that names the field. An empty body counts as {}. */
export async function readBody<T>(context: Context, schema: z.ZodType<T>): Promise<T> {
  const text = await context.req.text()
  let value: unknown
  try {
    value = text === '' ? {} : JSON.parse(text)
  } catch (error) {
    throw new ShoalError({ code: 'BAD_INPUT' }, `the request is not JSON: ${messageOf(error)}`)
  }
  return check(value, schema)
}

export function check<T>(value: unknown, schema: z.ZodType<T>): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const [issue] = result.error.issues
  const field = issue?.path.join('.') ?? ''
  const where = field === '' ? '' : `${field}: `
  throw new ShoalError(
    { code: 'BAD_INPUT', ...(field === '' ? {} : { field }) },
    `the request is not understood: ${where}${issue?.message ?? 'invalid'}`
  )
}
