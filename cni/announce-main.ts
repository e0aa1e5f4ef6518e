import { sendAnnouncements } from './host/announcement.ts';
import type { LaterAnnouncement } from './platform/platform.ts';

/**
 * Program `cellnet-announce`: sends an attachment's remaining announcements after the reply of the
 * ADD, then ends. The plugin passes one argument, a LaterAnnouncement as JSON.
 */
void sendAnnouncements(JSON.parse(process.argv[2] ?? '{}') as LaterAnnouncement);
