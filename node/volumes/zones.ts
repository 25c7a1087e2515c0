/** Time zones by their IANA names, checked against the zone data of this Node.js. */
import { isZoneText } from '../../crdt/pattern-records.ts'
import { ShoalError } from '../../protocols/fault.ts'
import { MAX_ZONES_REMEMBERED } from '../limits.ts'
import { printable } from './names.ts'

/** What times of patterns are read in where no zone was ever said. */
export const UNSAID_ZONE = 'UTC'

/** The zone of this host. */
export function hostZone(): string {
  const { timeZone } = new Intl.DateTimeFormat().resolvedOptions()
  return isKnownZone(timeZone) ? timeZone : UNSAID_ZONE
}

/** What a volume's document says, where it is known here. */
export function knownZone(zone: string | undefined): string {
  return zone !== undefined && isKnownZone(zone) ? zone : UNSAID_ZONE
}

/** Throws BAD_INPUT unless it names a zone that is known here. */
export function checkZone(zone: string): void {
  if (isKnownZone(zone)) return
  throw new ShoalError(
    { code: 'BAD_INPUT', field: 'zone' },
    `${printable(zone)} is no time zone: give its IANA name, for example Europe/Berlin, ` +
      'America/New_York or UTC'
  )
}

/** To ask Intl takes a tenth of a millisecond, and each shard of a node asks every minute. */
const asked = new Map<string, boolean>()

function isKnownZone(zone: string): boolean {
  if (!isZoneText(zone)) return false
  const known = asked.get(zone)
  if (known !== undefined) return known
  if (asked.size >= MAX_ZONES_REMEMBERED) asked.clear()
  const found = isOfIntl(zone)
  asked.set(zone, found)
  return found
}

function isOfIntl(zone: string): boolean {
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: zone })
    return true
  } catch {
    return false
  }
}
