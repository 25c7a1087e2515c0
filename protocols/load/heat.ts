/**
 * How much a chunk is asked, as it travels with the chunk from one node to another. What arrives is
 * outside data: whoever takes it over parses it with `heatStateSchema`.
 */
import { z } from 'zod'
import { HOURS_PER_DAY, MAX_HEAT_LOAD, MAX_HEAT_RATE, PROFILE_DAYS } from '../limits.ts'

const rate = z.number().min(0).max(MAX_HEAT_RATE)

export const heatStateSchema = z.strictObject({
  /** Requests and bytes per second, decayed. */
  reads: rate,
  writes: rate,
  readBytes: rate,
  writtenBytes: rate,
  /** By UTC hour of the day: the mean load in units per second, and of how many days it is. */
  profile: z
    .strictObject({
      loads: z.array(z.number().min(0).max(MAX_HEAT_LOAD)).length(HOURS_PER_DAY),
      days: z.array(z.number().int().min(0).max(PROFILE_DAYS)).length(HOURS_PER_DAY)
    })
    .optional()
})

export type HeatState = Readonly<z.infer<typeof heatStateSchema>>
