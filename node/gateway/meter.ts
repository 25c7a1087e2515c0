/** What an attachment was asked to do, since it was made. */
export class Meter {
  readOperations = 0
  writeOperations = 0
  readBytes = 0
  writtenBytes = 0
  flushes = 0
  inFlight = 0
}
