//! WeChat Pay's rules, one case each, twice: by hand and through our client.
//!
//! `rules.txt` is the checklist; the table below has every rule's case, by topic. Where our client
//! cannot express a rule, the table says why.

mod answers;
mod bills;
mod faults;
mod logins;
mod notifications;
mod orders;
mod refunds;
mod requests;
mod troubles;
mod trust;

/// Makes the tests `rule::topic::name::by_hand` and `rule::topic::name::by_crate`, and the list of
/// the names.
macro_rules! suite {
    ($($topic:ident { $($rule:ident $how:tt)* })*) => {
        mod rule {
            $(mod $topic {
                $(mod $rule {
                    #[tokio::test]
                    async fn by_hand() {
                        crate::$topic::by_hand::$rule().await;
                    }

                    by_crate! { $topic $rule $how }
                })*
            })*
        }

        const RULES: &[&str] = &[$($(stringify!($rule),)*)*];
    };
}

/// The second test of a rule, unless there is a reason against it.
macro_rules! by_crate {
    ($topic:ident $rule:ident (both)) => {
        #[tokio::test]
        async fn by_crate() {
            crate::$topic::by_crate::$rule().await;
        }
    };
    ($topic:ident $rule:ident ($why_not:literal)) => {};
}

suite! {
    requests {
        authorization_covers_the_raw_target_and_the_raw_body (both)
        authorization_pairs_come_in_any_order ("it has one order")
        the_clock_is_checked_before_the_signature (both)
        a_refused_signature_says_why_in_wechats_words (both)
        a_missing_user_agent_is_refused_on_certificates_and_refunds_only ("it always sends one")
        the_mchid_is_one_in_header_body_and_query ("it knows one mchid only")
        unknown_fields_are_refused (both)
        null_is_no_value ("it writes none")
        characters_of_four_bytes_are_refused ("order::text_is_acceptable refuses them before")
        fields_have_their_limits ("it sends any body as it is")
        a_broken_body_is_refused_and_changes_nothing ("it sends any body as it is")
        an_app_must_belong_to_the_merchant (both)
        a_merchant_must_have_a_contract (both)
        merchants_do_not_see_each_other (both)
    }
    answers {
        a_good_answer_carries_five_signature_headers (both)
        headers_are_spelt_as_wechat_pay_spells_them ("it reads them in any case, as HTTP wants")
        json_says_that_it_is_utf_8 ("it does not look")
        a_refusal_is_not_signed (both)
        a_request_id_ends_in_the_number_of_the_error (both)
        an_unknown_path_or_method_has_an_empty_answer ("it knows no such path")
        an_error_names_code_message_and_field (both)
    }
    orders {
        an_identical_create_is_taken_again (both)
        a_different_create_of_one_number_is_out_trade_no_used (both)
        a_closed_number_is_order_closed (both)
        a_paid_number_is_not_ordered_again (both)
        time_expire_is_raised_to_a_minute ("it sends any body as it is")
        after_time_expire_an_order_is_unpaid_and_unpayable ("it sends any body as it is")
        time_expire_is_cut_to_seven_days ("it sends any body as it is")
        a_prepay_id_lives_two_hours (both)
        a_code_url_lives_two_hours ("the payer notices, not the merchant")
        a_repeated_native_create_ends_the_older_code_url (both)
        an_unpaid_order_closes_itself_after_seven_days (both)
        a_close_is_taken_twice_and_ends_the_order (both)
        closing_a_paid_order_is_order_paid (both)
        a_close_that_races_a_payment_ends_one_way ("the race is the simulator's, whoever calls")
        an_order_paid_while_closing_is_order_paid (both)
        an_order_is_found_by_both_numbers (both)
        an_unpaid_order_has_no_payment_to_tell_of (both)
    }
    refunds {
        a_refund_is_processing_first_and_ends_later (both)
        a_refund_may_end_abnormal_or_closed (both)
        one_number_and_body_is_one_refund (both)
        one_number_with_other_amounts_is_refused (both)
        parts_are_a_minute_apart (both)
        there_are_at_most_fifty_parts ("fifty more say nothing new")
        parts_are_never_more_than_the_whole (both)
        the_total_must_be_the_orders ("it sends any body as it is")
        only_a_paid_order_can_be_refunded (both)
        a_refund_is_possible_for_a_year ("the pace is the simulator's")
        a_refunded_order_is_refund (both)
        a_refund_names_its_order_by_either_number (both)
        a_refunds_fields_have_their_limits ("it sends any body as it is")
        a_short_account_is_not_enough_until_it_is_filled (both)
        a_429_may_have_been_accepted (both)
        a_refunds_end_is_told_signed_and_sealed (both)
        a_refund_without_an_address_is_told_in_xml_or_not_at_all ("it has no XML")
        an_event_may_be_of_an_unknown_type (both)
        associated_data_may_be_empty (both)
        the_ledger_keeps_exact_money_and_checks_itself ("only the simulator knows")
    }
    bills {
        a_bill_has_a_byte_order_mark_and_ends_its_lines_with_cr_lf ("its parser does not mind")
        a_bills_cells_begin_with_a_backtick_and_split_at_commas (both)
        a_bills_hash_is_of_the_plain_text (both)
        a_download_is_asked_for_with_a_signature_and_answered_without ("it always signs")
        a_download_url_lives_five_minutes (both)
        a_day_without_trade_has_no_statement (both)
        a_bill_is_being_created_until_the_next_morning (both)
        a_bill_has_a_kind_and_three_months ("it sends any day as it is")
        a_bill_may_be_late_or_short (both)
    }
    trust {
        answers_of_a_merchant_with_a_public_key_are_signed_by_it (both)
        answers_of_a_merchant_with_certificates_are_signed_by_one (both)
        certificates_are_sealed_and_vouch_for_their_own_delivery (both)
        a_merchant_with_a_public_key_has_no_certificates (both)
        an_answers_key_follows_the_requested_serial (both)
        a_request_that_names_an_unknown_key_is_refused ("it names what it knows")
        a_notifications_key_is_drawn_at_random_while_migrating (both)
        a_migration_ends_with_the_public_key_alone ("one key is enough for it from the start")
        a_platform_certificate_is_replaced_with_two_of_them_live (both)
        a_merchants_certificate_is_replaced_while_both_are_taken (both)
        a_reset_apiv3_key_seals_what_is_sent_from_then_on (both)
        a_probe_on_an_answer_is_clean_on_retry (both)
        a_probe_on_a_notification_is_clean_on_retry (both)
    }
    notifications {
        a_payment_is_told_signed_and_sealed (both)
        a_notification_says_what_a_query_says (both)
        an_unpaid_order_is_never_told_of ("there is nothing to read")
        the_ladder_has_fifteen_rungs ("the pace is the simulator's")
        every_try_is_signed_afresh (both)
        only_200_and_204_are_taken ("the answer is the server's")
        an_answer_after_five_seconds_is_none ("the answer is the server's")
        duplicates_come_at_once_on_two_connections (both)
        a_notification_may_be_late ("the pace is the simulator's")
        a_notification_may_never_come (both)
        one_order_may_be_told_of_after_a_later_one (both)
        a_taken_notification_may_come_again (both)
        a_notification_may_lie_in_one_field (both)
        every_delivery_is_kept_with_its_answer ("only the simulator knows")
    }
    faults {
        accepted_202_has_no_effect (both)
        too_frequent_429_has_no_effect (both)
        system_error_500_has_no_effect (both)
        bad_gateway_502_and_overload_503_have_no_effect (both)
        a_proxys_page_is_not_json (both)
        an_answer_may_be_empty (both)
        an_answer_may_be_slow (both)
        a_connection_cut_before_the_effect_has_none (both)
        an_answer_lost_after_the_effect_is_found_by_asking (both)
        an_answer_may_carry_a_wrong_signature (both)
        an_order_may_be_denied_and_then_found (both)
        an_answer_may_be_dated_wrong (both)
        an_answer_may_never_come (both)
        connections_may_be_reset_for_a_while (both)
        connections_may_be_refused_for_a_while (both)
    }
    logins {
        a_silent_authorisation_leads_back_with_code_and_state (both)
        an_authorisation_keeps_the_order_of_its_parameters ("it has one order")
        a_web_code_is_worth_an_openid_once (both)
        a_login_code_is_worth_a_session_once (both)
        a_code_lives_five_minutes (both)
        an_errcode_comes_with_http_200 (both)
        a_payer_has_another_openid_at_every_app (both)
    }
    troubles {
        the_clock_is_stepped ("only the simulator has it")
        the_clock_is_frozen ("only the simulator has it")
        the_clock_is_scaled ("only the simulator has it")
        scenarios_are_listed_started_combined_and_stopped ("only the simulator has them")
        a_seed_repeats_a_run ("one client's story is enough")
    }
}

/// The checklist and the table name the same rules.
#[test]
fn every_rule_of_the_checklist_has_a_case() {
    let checklist: Vec<_> = include_str!("rules.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(" | ").map_or(line, |(rule, _)| rule).trim())
        .collect();
    for rule in &checklist {
        assert!(RULES.contains(rule), "{rule} has no case");
    }
    for rule in RULES {
        assert!(checklist.contains(rule), "{rule} is not on the checklist");
    }
    assert_eq!(checklist.len(), RULES.len(), "a rule is there twice");
}
