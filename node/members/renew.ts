/** The messages of /shoal/renew/1: the present chain, and a new one or none. */
import { z } from 'zod'
import { chainSchema } from '../../protocols/admission/certificate.ts'

export const renewRequestSchema = z.strictObject({ chain: chainSchema })
export const renewAnswerSchema = z.strictObject({
  chain: z.union([chainSchema, z.undefined()])
})
